import type { BlobRequest } from '../core/blob-source.ts';
import type { Trace } from '../observe/trace.ts';
import type { Clock } from '../runtime/clock.ts';
import type { PullMeter } from './pull-meter.ts';

/** Puts one client's pull into the trace: its begin, each time it waits, and how it ended. */
export class PullTrace {
  readonly #clock: Clock;
  readonly #trace: Trace | undefined;
  readonly #about: { readonly pull: number; readonly digest: BlobRequest['digest'] };
  readonly #askedMs: number;
  #waiting: { readonly index: number; readonly sinceMs: number } | undefined;
  #firstByteMs: number | undefined;
  #directBytes = 0;
  #hereBytes = 0;

  /** @param pull a number of its own in this process */
  constructor(
    { clock, trace }: { readonly clock: Clock; readonly trace?: Trace | undefined },
    pull: number,
    { askedMs, digest, size }: BlobRequest,
  ) {
    this.#clock = clock;
    this.#trace = trace;
    this.#about = { pull, digest };
    this.#askedMs = askedMs ?? clock.now();
    trace?.(clock.now(), { kind: 'pull', ...this.#about, size, askedMs: this.#askedMs });
  }

  /** So many of the bytes that it is to get are here. */
  here(bytes: number): void {
    this.#hereBytes = bytes;
  }

  /** The client now waits for this piece; nothing new when it did before. */
  waitsFor(index: number): void {
    if (this.#waiting?.index === index) return;
    this.#told();
    this.#waiting = { index, sinceMs: this.#clock.now() };
  }

  /** It has bytes to take. @param direct whether they came from the registry for it alone */
  got(bytes: number, direct = false): void {
    this.#told();
    this.#firstByteMs ??= this.#clock.now() - this.#askedMs;
    if (direct) this.#directBytes += bytes;
  }

  ended(outcome: 'complete' | 'cut', meter: PullMeter): void {
    this.#told();
    const { bytesPerSecond, by, ms } = meter.limit;
    this.#trace?.(this.#clock.now(), {
      kind: 'pull-end',
      ...this.#about,
      outcome,
      sentBytes: meter.sentBytes,
      hereBytes: this.#hereBytes,
      directBytes: this.#directBytes,
      ...(this.#firstByteMs === undefined ? {} : { firstByteMs: this.#firstByteMs }),
      clientMs: meter.clientMs,
      limitMs: ms,
      limitBy: by,
      limitBytesPerSecond: Math.round(bytesPerSecond),
    });
  }

  #told(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const now = this.#clock.now();
    if (waiting === undefined || now <= waiting.sinceMs) return;
    this.#trace?.(now, { kind: 'waited', ...this.#about, ...waiting });
  }
}
