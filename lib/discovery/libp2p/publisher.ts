import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { BlobKey } from '../../wire/member-codec.ts';
import { RECORD_LIFETIME_MS } from './dht.ts';

/** Keys that a process has records for at most: the newest, since a pull wants what is new. */
export const MAX_PUBLISHED = 1000;
/** Records are renewed once in their life, at a random moment of this part of it. */
const RENEW_FROM = 0.5;
const RENEW_TO = 0.8;
/** A lookup of the nearest members each: so many at once, and begun no faster than this. */
const AT_ONCE = 4;
const PACE_MS = 50;
const PUBLISH_MS = 10_000;
/** After a failure, and it goes to the end of the queue. */
const RETRY_MS = 1000;

export interface PublisherDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Writes one record. */
  readonly provide: (key: BlobKey, signal: AbortSignal) => Promise<void>;
  readonly forget: (key: BlobKey) => void;
  readonly published: (key: BlobKey) => void;
  readonly failed: (key: BlobKey) => void;
}

/**
 * Writes the records of what this process shares, newest first, and renews each once in its life, spread over it. What
 * a process shares beyond {@link MAX_PUBLISHED} blobs has no record.
 */
export class Publisher {
  readonly #deps: PublisherDeps;
  /** Key -> when its record is due, milliseconds; the newest key is the last one. */
  readonly #due = new Map<BlobKey, number>();
  readonly #running = new Set<BlobKey>();
  readonly #ending = new AbortController();
  #paused = true;
  #startedMs = Number.NEGATIVE_INFINITY;
  #cancel: () => void = () => {};

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  /** Keys that it keeps records for. */
  get size(): number {
    return this.#due.size;
  }

  /** Wants a record for the key, if it has none yet. */
  add(key: BlobKey): void {
    if (this.#due.has(key)) return;
    this.#due.set(key, this.#deps.clock.now());
    if (this.#due.size > MAX_PUBLISHED) {
      const [oldest] = this.#due.keys();
      if (oldest !== undefined) this.remove(oldest);
    }
    this.#go();
  }

  remove(key: BlobKey): void {
    if (this.#due.delete(key)) this.#deps.forget(key);
  }

  /** Writes nothing while nobody is there. */
  pause(paused: boolean): void {
    this.#paused = paused;
    this.#go();
  }

  /** Everything has to be written again: those who held the records may be gone. */
  renewAll(): void {
    const now = this.#deps.clock.now();
    for (const key of this.#due.keys()) this.#due.set(key, now);
    this.#go();
  }

  close(): void {
    this.#cancel();
    this.#ending.abort();
  }

  #go(): void {
    const { clock } = this.#deps;
    this.#cancel();
    if (this.#paused || this.#ending.signal.aborted || this.#running.size >= AT_ONCE) return;
    const next = this.#next();
    if (next === undefined) return;
    const atMs = Math.max(next.dueMs, this.#startedMs + PACE_MS);
    this.#cancel = clock.after(Math.max(0, atMs - clock.now()), () => {
      this.#startedMs = clock.now();
      void this.#publish(next.key).finally(() => this.#go());
      this.#go();
    });
  }

  /** Of those that are due the newest, else the one that is due first. */
  #next(): { readonly key: BlobKey; readonly dueMs: number } | undefined {
    const now = this.#deps.clock.now();
    let next: { key: BlobKey; dueMs: number } | undefined;
    for (const [key, dueMs] of this.#due) {
      if (this.#running.has(key)) continue;
      if (next === undefined || dueMs <= now || dueMs < next.dueMs) next = { key, dueMs };
    }
    return next;
  }

  async #publish(key: BlobKey): Promise<void> {
    const { clock, failed, provide, published, rng } = this.#deps;
    if (!this.#due.has(key)) return;
    this.#running.add(key);
    let waitMs = RETRY_MS;
    try {
      await withDeadline(clock, PUBLISH_MS, this.#ending.signal, (signal) => provide(key, signal));
      waitMs = RECORD_LIFETIME_MS * (RENEW_FROM + (RENEW_TO - RENEW_FROM) * rng.float());
      published(key);
    } catch {
      if (!this.#ending.signal.aborted) failed(key);
    } finally {
      this.#running.delete(key);
      if (this.#due.has(key)) this.#due.set(key, clock.now() + waitMs);
    }
  }
}
