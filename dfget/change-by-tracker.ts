import { randomBytes } from 'node:crypto';
import type { ClusterSettings } from '../lib/core/cluster-settings.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { createTrackerDiscovery } from '../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../lib/observe/log.ts';
import { createSystemClock } from '../lib/runtime/system-clock.ts';
import { createSystemRng } from '../lib/runtime/system-rng.ts';
import { Credentials, type CredentialsDeps } from '../lib/security/credentials.ts';
import { signSettings } from '../lib/security/signed-settings.ts';
import { requireAuthority } from '../lib/security/system/authority-folder.ts';
import { keysFromAuthority } from '../lib/security/system/credential-sources.ts';
import { ClusterChanges } from './cluster-changes.ts';

const CONNECT_MS = 3_000;

/**
 * Sets something for the whole cluster from a machine without a daemon, as a member that shares nothing.
 * @param caDir where the cluster's authority is: only who holds it may, over `wss://` trackers
 * @throws TRACKER_UNREACHABLE, CONFIG_INVALID, and what `change` does
 */
export async function changeByTracker(
  trackers: readonly string[],
  caDir: string,
  change: (settings: ClusterSettings) => Partial<ClusterSettings>,
): Promise<ClusterSettings> {
  const clock = createSystemClock({ keepsAlive: true });
  const log = silentLog();
  const secure = trackers.some((url) => /^(?:wss|https):/.test(url));
  const deps = { clock, log, wallClockMs: Date.now };
  const own = secure ? await operatorOf(caDir, deps) : undefined;
  const id = own?.member.id ?? randomBytes(20).toString('hex');
  const discovery = createTrackerDiscovery(
    { log, clock, rng: createSystemRng(), credentials: own?.member },
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
    const sign = own && ((settings: ClusterSettings) => signSettings(own.setter, settings));
    const changes = new ClusterChanges({ discovery, clock, sign, wallClockMs: Date.now }, () => {});
    const changed = reached ? changes.change(change) : undefined;
    if (changed === undefined || !(await changed.confirmed)) {
      const message = `${trackers.join(', ')}: no tracker answers, nothing is changed; look whether one listens there`;
      throw new DamselflyError('TRACKER_UNREACHABLE', message);
    }
    return changes.settings;
  } finally {
    await discovery.close();
    own?.member.close();
    own?.setter.close();
  }
}

/** A node, which trackers talk to, and a tracker, whose settings count: for this one command. */
async function operatorOf(caDir: string, deps: CredentialsDeps) {
  const authority = await requireAuthority(caDir, deps.wallClockMs);
  const become = async (role: 'node' | 'tracker'): Promise<Credentials> => {
    const { keys, next } = await keysFromAuthority(authority, { role, zone: '' }, deps.wallClockMs);
    return new Credentials(deps, keys, next);
  };
  return { member: await become('node'), setter: await become('tracker') };
}
