import { randomBytes } from 'node:crypto';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { Credentials, type CredentialsDeps } from '../../lib/security/credentials.ts';
import { requireAuthority } from '../../lib/security/system/authority-folder.ts';
import { keysFromAuthority } from '../../lib/security/system/credential-sources.ts';
import { ClusterChanges } from '../cluster-changes.ts';
import type { PauseAnswer } from '../local-protocol.ts';
import { type PauseAction, switched } from '../paused-names.ts';

const CONNECT_MS = 3_000;

/**
 * Changes what the cluster has paused from a machine without a daemon, as a member that shares nothing.
 * @param caDir where the cluster's authority is: who holds it can be any member. For `wss://` trackers
 * @throws TRACKER_UNREACHABLE, CONFIG_INVALID
 */
export async function pauseByTracker(
  action: PauseAction,
  upstream: string,
  trackers: readonly string[],
  caDir: string,
): Promise<PauseAnswer> {
  const clock = createSystemClock({ keepsAlive: true });
  const log = silentLog();
  const secure = trackers.some((url) => /^(?:wss|https):/.test(url));
  const credentials = secure ? await credentialsOf(caDir, { clock, log, wallClockMs: Date.now }) : undefined;
  const id = credentials?.id ?? randomBytes(20).toString('hex');
  const discovery = createTrackerDiscovery(
    { log, clock, rng: createSystemRng(), credentials },
    // The port is never dialled: nobody is told of a member that announces nothing.
    { trackers, peer: { id, role: 'node', host: '', port: 1, zone: '' } },
  );
  try {
    const reached = await new Promise<boolean>((resolve) => {
      const cancel = clock.after(CONNECT_MS, () => resolve(false));
      discovery.listen({
        neighbours: () => {},
        reachable: (now) => {
          cancel();
          resolve(now);
        },
      });
    });
    const changes = new ClusterChanges({ discovery, clock, wallClockMs: Date.now }, () => {});
    const changed = reached
      ? changes.change(({ paused }) => ({ paused: switched(paused, action, upstream) }))
      : undefined;
    if (changed === undefined || !(await changed.confirmed)) {
      const message = `${trackers.join(', ')}: no tracker answers, nothing is changed; look whether one listens there`;
      throw new DamselflyError('TRACKER_UNREACHABLE', message);
    }
    return { paused: changes.settings.paused, otherSwitch: [], scope: 'cluster', confirmed: true };
  } finally {
    await discovery.close();
    credentials?.close();
  }
}

/** A node's, for this one command. */
async function credentialsOf(caDir: string, deps: CredentialsDeps): Promise<Credentials> {
  const authority = await requireAuthority(caDir);
  const { keys, next } = await keysFromAuthority(authority, { role: 'node', zone: '' }, deps.wallClockMs);
  return new Credentials(deps, keys, next);
}
