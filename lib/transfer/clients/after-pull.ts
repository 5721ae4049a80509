import type { Digest } from '../../core/digest.ts';
import { describeError } from '../../core/errors.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Logger } from '../../observe/log.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import type { BlobStore } from '../../store/store.ts';
import { removeBlob } from '../blobs/remove-blob.ts';

/** Clients that read a blob in parts come back for the next one within this time. */
const NEXT_PART_MS = 2000;
/** A pull that was cut short, and what no client has asked for yet, waits at least so long. */
const UNREAD_MS = 5 * 60_000;
/** How often the store is looked through for blobs that no client of this run has read. */
const SURVEY_MS = 60_000;
const LEAST_LOOK_MS = 1000;

export interface AfterPullDeps {
  readonly store: BlobStore;
  readonly discovery: Discovery;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

export interface AfterPullHost {
  /** Whether a client reads the blob now. */
  isRead(digest: Digest): boolean;
  /** Takes the blob out of the swarm, unless somebody waits for it. @returns whether nobody does */
  release(digest: Digest): boolean;
}

interface Rest {
  /** When it was last of use to a client, as far as is known: of the clock. */
  readonly sinceMs: number;
  /** Until the end of a client's read in this run. */
  readonly wasRead: boolean;
}

/**
 * Removes blobs from the store a while after the last client's read of them has ended. Until then they are seeded;
 * pinned ones stay, and so do those that a neighbour is still fetching.
 */
export class AfterPull {
  readonly #deps: AfterPullDeps;
  readonly #keepMs: number;
  readonly #host: AfterPullHost;
  readonly #resting = new Map<Digest, Rest>();
  #looking = false;
  #surveyedMs = Number.NEGATIVE_INFINITY;

  /** @param keepMs 0 = as soon as nobody reads it */
  constructor(deps: AfterPullDeps, keepMs: number, host: AfterPullHost) {
    this.#deps = deps;
    this.#keepMs = keepMs;
    this.#host = host;
  }

  /** @returns ends it */
  start(): () => void {
    const periodMs = Math.min(SURVEY_MS, Math.max(LEAST_LOOK_MS, this.#keepMs / 20));
    return every(this.#deps.clock, periodMs, () => {
      if (this.#looking) return;
      this.#looking = true;
      void this.#look().finally(() => {
        this.#looking = false;
      });
    });
  }

  /** A client's read has ended, however it did. */
  readEnded(digest: Digest): void {
    this.#resting.set(digest, { sinceMs: this.#deps.clock.now(), wasRead: true });
  }

  async #look(): Promise<void> {
    const now = this.#deps.clock.now();
    if (now - this.#surveyedMs >= SURVEY_MS) this.#survey(now);
    for (const [digest, rest] of this.#resting) {
      const summary = this.#deps.store.get(digest);
      if (summary === undefined || summary.pinned || summary.borrowed === true) {
        this.#resting.delete(digest);
        continue;
      }
      const least = rest.wasRead && summary.complete ? NEXT_PART_MS : UNREAD_MS;
      if (now - rest.sinceMs < Math.max(least, this.#keepMs)) continue;
      if (this.#host.isRead(digest) || !this.#host.release(digest)) continue;
      this.#resting.delete(digest);
      await this.#remove(digest);
    }
  }

  /** What earlier runs left, and what was fetched for clients that never came. */
  #survey(now: number): void {
    const { store, wallClockMs } = this.#deps;
    this.#surveyedMs = now;
    const wallMs = wallClockMs();
    for (const { info, usedAtMs } of store.list()) {
      if (this.#resting.has(info.digest)) continue;
      this.#resting.set(info.digest, { sinceMs: now - (wallMs - usedAtMs), wasRead: false });
    }
  }

  async #remove(digest: Digest): Promise<void> {
    const { log } = this.#deps;
    try {
      await removeBlob(this.#deps, digest);
      log.debug({ digest }, 'removed a blob after its last pull');
    } catch (error) {
      log.warn({ digest, error: describeError(error) }, 'a blob could not be removed after its last pull');
    }
  }
}
