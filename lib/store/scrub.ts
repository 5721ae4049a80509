import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { KeyValue } from './key-value/key-value.ts';

/** How long a store in which there was nothing to read is left alone, milliseconds. */
const EMPTY_MS = 60_000;
/** Where the last run was, so that a daemon that is often restarted comes round all the same. */
const CURSOR_KEY = 'scrub';

export interface ScrubDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly keyValue: KeyValue;
  /** Names of all blobs, in any order. */
  readonly digests: () => readonly string[];
  /** Holds one piece against its proof. @returns its length, 0 when it is not held; undefined after the last piece */
  readonly examine: (digest: string, index: number) => Promise<number | undefined>;
}

/**
 * Reads all that is held, again and again, at no more than so many bytes per second: what the media lost without a
 * sign is found before a reader needs it. Runs until the signal fires; never rejects.
 */
export async function scrub(deps: ScrubDeps, bytesPerSecond: number, signal: AbortSignal): Promise<void> {
  const { clock, keyValue, log } = deps;
  const wait = (ms: number): Promise<void> => delay(clock, ms, signal).catch(() => {});
  const saved = await keyValue.get(CURSOR_KEY).catch(() => undefined);
  let after = saved === undefined ? '' : new TextDecoder().decode(saved);
  while (!signal.aborted) {
    const round = [...deps.digests()].sort().filter((digest) => digest > after);
    after = '';
    let readBytes = 0;
    for (const digest of round) {
      try {
        for (let index = 0; !signal.aborted; index++) {
          const bytes = await deps.examine(digest, index);
          if (bytes === undefined) break;
          readBytes += bytes;
          if (bytes > 0) await wait((bytes / bytesPerSecond) * 1000);
        }
        if (signal.aborted) return;
        await keyValue.batch([{ type: 'put', key: CURSOR_KEY, value: new TextEncoder().encode(digest) }]);
      } catch (error) {
        log.warn({ digest, error: describeError(error) }, 'a blob could not be scrubbed');
        await wait(EMPTY_MS);
      }
    }
    if (readBytes === 0) await wait(EMPTY_MS);
  }
}
