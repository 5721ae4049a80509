import type { Digest } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import { withAbort } from '../../core/single-flight.ts';
import { bytesKey, indexKey } from '../../objects/kept-index.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';

/** One attempt. */
const REMOVE_MS = 10_000;
/** After an attempt that failed, twice as long each time, up to the most. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 5 * 60_000;
/** Of more than these the rest is found wrong again when it is next read. */
const MOST = 1_000;

export interface KeptRemovalsDeps {
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Blobs of which the object store has a wrong copy, until it is gone: a store that fails is asked again, for as long as we run. */
export class KeptRemovals {
  readonly #deps: KeptRemovalsDeps;
  readonly #running = new Map<Digest, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(deps: KeptRemovalsDeps) {
    this.#deps = deps;
  }

  /** Whether the copy is wrong and still there. */
  has(digest: Digest): boolean {
    return this.#running.has(digest);
  }

  /** @param version of its bytes: what somebody has kept anew since then stays */
  begin(digest: Digest, version: string): void {
    if (this.#closing.signal.aborted || this.has(digest) || this.#running.size >= MOST) return;
    this.#running.set(
      digest,
      this.#remove(digest, version).finally(() => this.#running.delete(digest)),
    );
  }

  /** Waits until there is no wrong copy. @throws ABORTED */
  async gone(digest: Digest, signal: AbortSignal): Promise<void> {
    await withAbort(this.#running.get(digest) ?? Promise.resolve(), signal);
  }

  /** Gives up what is not gone yet. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running.values());
  }

  /** Never rejects. */
  async #remove(digest: Digest, version: string): Promise<void> {
    const { clock, log, metrics, objects } = this.#deps;
    const { signal } = this.#closing;
    const bytes = bytesKey(digest);
    for (let waitMs = FIRST_RETRY_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      try {
        await withDeadline(clock, REMOVE_MS, signal, async (signal) => {
          const found = await objects.stat(bytes, { signal });
          if (found !== undefined && found.version !== version) return;
          // The index first: without it nobody reads the rest.
          await objects.remove(indexKey(digest), { signal });
          await objects.remove(bytes, { signal });
        });
        metrics.objectStore.inc({ kind: 'remove', outcome: 'ok' });
        return;
      } catch (error) {
        if (signal.aborted) return;
        metrics.objectStore.inc({ kind: 'remove', outcome: 'failed' });
        const facts = { digest, error: describeError(error), retryMs: waitMs };
        log.warn(facts, 'a wrong copy could not be removed from the object store: tried again');
      }
      await delay(clock, waitMs, signal).catch(() => {});
    }
  }
}
