import { type Digest, digestOf } from '../../core/digest.ts';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { BlobBody, BlobRead, OriginClient, OriginResponse } from '../origin-client.ts';

export interface MemoryOriginOptions {
  readonly clock: Clock;
  /** Before the first byte of an answer, milliseconds. */
  readonly latencyMs: number;
  /** One body's rate, bytes per second. */
  readonly bytesPerSecond: number;
}

/** One piece of a body on its way. */
const CHUNK_BYTES = 64 * 1024;

/**
 * The registry of an in-memory cluster: blobs by digest, what was read of each, and faults on demand. Deterministic: all
 * waiting is by the clock.
 */
export class MemoryOrigin {
  readonly #options: MemoryOriginOptions;
  readonly #blobs = new Map<string, Uint8Array>();
  /** Bytes of each blob that were sent to anyone. */
  readonly sentBytes = new Map<string, number>();
  requests = 0;
  /** Answers with this error as long as it is set. */
  failure: DamselflyError | undefined;
  /** Cuts the next bodies after so many bytes; one entry a body. */
  readonly cuts: number[] = [];
  /** The bytes of this digest are sent with their first bit flipped. */
  lie: Digest | undefined;

  constructor(options: MemoryOriginOptions) {
    this.#options = options;
  }

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return digest;
  }

  /** How often the blob was read: 1 = once in full. */
  ratio(digest: Digest): number {
    return (this.sentBytes.get(digest) ?? 0) / (this.#blobs.get(digest)?.length ?? 1);
  }

  /** A process's way to this registry. */
  client(): OriginClient {
    const refuse = (): Promise<OriginResponse> =>
      Promise.reject(new DamselflyError('UPSTREAM_UNREACHABLE', 'the in-memory registry has blobs only'));
    return {
      upstreams: ['memory.test'],
      trust: () => 'caller',
      provesRight: () => false,
      request: refuse,
      readManifest: () =>
        refuse().then(() => ({ bytes: new Uint8Array(), digest: '' as Digest, mediaType: '' })),
      readBlob: (read, { signal }) => this.#read(read, signal),
      close: async () => {},
    };
  }

  async #read({ digest, end, start = 0 }: BlobRead, signal: AbortSignal): Promise<BlobBody> {
    const { clock, latencyMs } = this.#options;
    this.requests++;
    await delay(clock, latencyMs, signal).catch(() => {
      throw abortedError(signal);
    });
    if (this.failure !== undefined) throw this.failure;
    const blob = this.#blobs.get(digest);
    if (blob === undefined) {
      throw new DamselflyError('UPSTREAM_REFUSED', 'no such blob', { status: 404, digest });
    }
    const bytes = blob.subarray(start, end ?? blob.length);
    return { size: blob.length, bytes: this.#body(digest, bytes, start, signal) };
  }

  async *#body(
    digest: Digest,
    bytes: Uint8Array,
    start: number,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { bytesPerSecond, clock } = this.#options;
    const cut = this.cuts.shift() ?? Number.POSITIVE_INFINITY;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = Uint8Array.from(bytes.subarray(at, at + CHUNK_BYTES));
      await delay(clock, (chunk.length / bytesPerSecond) * 1000, signal).catch(() => {
        throw abortedError(signal);
      });
      if (this.failure !== undefined || at >= cut) {
        throw this.failure ?? new DamselflyError('UPSTREAM_BROKEN', 'the registry cut the body', { digest });
      }
      if (this.lie === digest && start + at === 0) chunk[0] = (chunk[0] ?? 0) ^ 1;
      this.sentBytes.set(digest, (this.sentBytes.get(digest) ?? 0) + chunk.length);
      yield chunk;
    }
  }
}
