import { describeError } from '../lib/core/errors.ts';
import type { Logger } from '../lib/observe/log.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import type { RunningProcess } from '../lib/runtime/system-process.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import type { MovingAuthority } from '../lib/security/moving-authority.ts';
import { readAuthority, readRevocations } from '../lib/security/system/authority-folder.ts';
import { askForTrust } from '../lib/security/system/enrolment-client.ts';
import { trustNews } from '../lib/security/trust.ts';

/** From a command on the authority's folder to its force at the tracker, which tells the members, at most. */
const LOOK_EVERY_MS = 2_000;
const ASK_EVERY_MS = 10_000;

interface FollowDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** Reads what the authority revokes, and what takes its place, now and again and again. @returns ends it */
export function followAuthority(
  { clock, log }: FollowDeps,
  {
    authority,
    caDir,
    credentials,
  }: { readonly authority: MovingAuthority; readonly caDir: string; readonly credentials: Credentials },
): () => void {
  const look = async (): Promise<void> => {
    const state = await readAuthority(caDir);
    if (state !== undefined) authority.become(state);
    const { rotation } = authority;
    const revocations = (await readRevocations(caDir, authority))?.text;
    credentials.trust(trustNews(rotation, revocations));
  };
  return again(clock, LOOK_EVERY_MS, () =>
    look().catch((error: unknown) => {
      log.error({ problem: describeError(error) }, "the cluster's authority cannot be read");
    }),
  );
}

/** A tracker without the authority asks those that have it. @param enroll their public ports @returns ends it */
export function followTrackers(
  { clock, log }: FollowDeps,
  { credentials, enroll }: { readonly credentials: Credentials; readonly enroll: readonly string[] },
): () => void {
  const ending = new AbortController();
  const ask = async (): Promise<void> => {
    for (const base of enroll) {
      try {
        credentials.trust(await askForTrust(base, credentials.keys, ending.signal));
      } catch (error) {
        log.debug({ base, problem: describeError(error) }, 'a tracker does not say what is revoked');
      }
    }
  };
  const stop = again(clock, ASK_EVERY_MS, ask);
  return () => {
    stop();
    ending.abort();
  };
}

/** The process, which ends the following when it ends. */
export function endingWith<P extends RunningProcess>(running: P, stop: () => void): P {
  return {
    ...running,
    close: () => {
      stop();
      return running.close();
    },
  };
}

/** At once, and then after each time. */
function again(clock: Clock, periodMs: number, run: () => Promise<void>): () => void {
  let busy = false;
  const once = (): void => {
    if (busy) return;
    busy = true;
    void run().finally(() => {
      busy = false;
    });
  };
  once();
  return every(clock, periodMs, once);
}
