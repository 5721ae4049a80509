import type { BlobRequest } from '../../core/blob-source.ts';
import { NO_TRACER, type Span, type Tracer } from '../../observe/spans.ts';
import type { Trace } from '../../observe/trace.ts';
import type { Clock } from '../../runtime/clock.ts';
import { blobFacts } from '../blob-facts.ts';
import type { PullMeter } from './pull-meter.ts';

/** Puts one client's pull into the trace: its begin, each time it waits, and how it ended; and as a whole into a span. */
export class PullTrace {
  readonly #clock: Clock;
  readonly #trace: Trace | undefined;
  readonly #about: { readonly pull: number; readonly digest: BlobRequest['digest'] };
  readonly #askedMs: number;
  readonly #span: Span;
  #waiting: { readonly index: number; readonly sinceMs: number } | undefined;
  #firstByteMs: number | undefined;
  #directBytes = 0;
  #hereBytes = 0;

  /** @param pull a number of its own in this process */
  constructor(
    {
      clock,
      trace,
      tracer = NO_TRACER,
    }: {
      readonly clock: Clock;
      readonly trace?: Trace | undefined;
      readonly tracer?: Tracer | undefined;
    },
    pull: number,
    { askedMs, digest, origin, size }: BlobRequest,
  ) {
    this.#clock = clock;
    this.#trace = trace;
    this.#about = { pull, digest };
    this.#askedMs = askedMs ?? clock.now();
    const parent = origin.traceparent;
    this.#span = tracer.begin('pull blob', {
      kind: 'internal',
      parent,
      facts: blobFacts({ digest, size }, origin),
    });
    trace?.(clock.now(), { kind: 'pull', ...this.#about, size, askedMs: this.#askedMs });
  }

  /** The request, as a part of this pull's span. */
  partOf(request: BlobRequest): BlobRequest {
    const { traceparent } = this.#span;
    return traceparent === undefined ? request : { ...request, origin: { ...request.origin, traceparent } };
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
    this.#span.note({
      'damselfly.bytes.sent': meter.sentBytes,
      'damselfly.bytes.cache': this.#hereBytes,
      'damselfly.bytes.direct': this.#directBytes,
      'damselfly.limit.ms': Math.round(ms),
      'damselfly.limit.by': by,
      ...(this.#firstByteMs === undefined
        ? {}
        : { 'damselfly.first_byte.ms': Math.round(this.#firstByteMs) }),
    });
    this.#span.end(outcome === 'complete' ? undefined : outcome);
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
