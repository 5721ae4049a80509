import { describeError } from '../lib/core/errors.ts';
import type { Logger } from '../lib/observe/log.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import type { ClusterAuthority } from '../lib/security/cluster-authority.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { loadRevocations } from '../lib/security/system/authority-folder.ts';

/** From a revocation to its force at the tracker, at most. */
const LOOK_EVERY_MS = 10_000;

/** Reads what the authority revokes, now and again and again, for as long as the process runs. */
export function followRevocations(
  deps: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly credentials: Credentials | undefined;
    readonly authority: ClusterAuthority | undefined;
  },
  caDir: string,
): void {
  const { authority, clock, credentials, log } = deps;
  if (authority === undefined || credentials === undefined) return;
  const look = (): void => {
    loadRevocations(caDir, authority).then(
      (list) => credentials.revoke(list),
      (error: unknown) => log.error({ problem: describeError(error) }, 'what is revoked cannot be read'),
    );
  };
  look();
  every(clock, LOOK_EVERY_MS, look);
}
