import { type Digest, digestOf } from '../../core/digest.ts';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import { fileKey, fileRequest } from '../file.ts';
import {
  type BlobBody,
  type BlobRead,
  type OriginClient,
  type OriginRequest,
  type OriginResponse,
  requireKnownSize,
} from '../origin-client.ts';

export interface MemoryOriginOptions {
  readonly clock: Clock;
  /** Before the first byte of an answer, milliseconds. */
  readonly latencyMs: number;
  /** One body's rate, bytes per second. */
  readonly bytesPerSecond: number;
}

/** A file at a path; who shows another Authorization than its reader's does not get it. */
interface MemoryFile {
  readonly key: Digest;
  readonly reader: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the registry is called. */
const UPSTREAM = 'memory.test';
/** One piece of a body on its way. */
const CHUNK_BYTES = 64 * 1024;

/**
 * The registry of an in-memory cluster: blobs by digest, what was read of each, and faults on demand. Deterministic: all
 * waiting is by the clock.
 */
export class MemoryOrigin {
  readonly #options: MemoryOriginOptions;
  readonly #blobs = new Map<string, Uint8Array>();
  /** By path. */
  readonly #files = new Map<string, MemoryFile>();
  /** Bytes of each blob that were sent to anyone. */
  readonly sentBytes = new Map<string, number>();
  requests = 0;
  /** Paths that rights were asked for. */
  readonly asked: string[] = [];
  /** Blobs of which somebody asked whether anybody may read them; and whether anybody may. */
  readonly openAsked: Digest[] = [];
  open = true;
  /** Nobody may read anything. */
  forbidden = false;
  /** Answers with this error as long as it is set. */
  failure: DamselflyError | undefined;
  /** Cuts the next bodies after so many bytes; one entry a body. */
  readonly cuts: number[] = [];
  /** The bytes of this digest are sent with the first bit of the byte at `lieAt` flipped. */
  lie: Digest | undefined;
  lieAt = 0;
  /** Whether parts are sent when asked for, or always all. */
  ranges = true;

  constructor(options: MemoryOriginOptions) {
    this.#options = options;
  }

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    return digest;
  }

  /**
   * A file at a path.
   * @param reader the one Authorization that may read it; everybody may without
   * @returns its key
   */
  addFile(path: string, bytes: Uint8Array, reader?: string): Digest {
    const facts = { size: bytes.length, etag: `"${digestOf(bytes)}"`, lastModified: undefined };
    const key = fileKey({ upstream: UPSTREAM, repository: path }, facts);
    if (key === undefined) throw new Error('not a file that can be shared');
    this.#blobs.set(key, bytes);
    const headers = { etag: facts.etag, 'content-range': `bytes 0-0/${facts.size}` };
    this.#files.set(path, { key, reader, headers });
    return key;
  }

  /** How often the blob was read: 1 = once in full. */
  ratio(digest: Digest): number {
    return (this.sentBytes.get(digest) ?? 0) / (this.#blobs.get(digest)?.length ?? 1);
  }

  /** A process's way to this registry. */
  client(): OriginClient {
    const ask = async ({ headers, path }: OriginRequest): Promise<OriginResponse> => {
      this.asked.push(path);
      if (this.failure !== undefined) throw this.failure;
      const file = this.#files.get(path);
      if (file !== undefined) {
        const status = this.#mayRead(file, headers) ? 206 : 401;
        return { status, headers: status === 206 ? file.headers : {}, body: noBytes() };
      }
      const bytes = this.#blobs.get(path.slice(path.lastIndexOf('/') + 1));
      if (bytes === undefined || this.forbidden) return { status: 403, headers: {}, body: noBytes() };
      return { status: 200, headers: {}, body: path.includes('/manifests/') ? just(bytes) : noBytes() };
    };
    const refuse = (): Promise<OriginResponse> =>
      Promise.reject(new DamselflyError('UPSTREAM_UNREACHABLE', 'the in-memory registry has blobs only'));
    return {
      upstreams: [UPSTREAM],
      trust: () => 'caller',
      provesRight: () => false,
      request: ask,
      readManifest: () =>
        refuse().then(() => ({ bytes: new Uint8Array(), digest: '' as Digest, mediaType: '' })),
      readBlob: (read, { signal }) => this.#read(read, signal),
      isPublic: async ({ digest }) => {
        this.openAsked.push(digest);
        if (this.failure !== undefined) throw this.failure;
        return this.open && this.#blobs.has(digest);
      },
      ownAuthorization: async () => undefined,
      readTags: () => refuse().then(() => []),
      close: async () => {},
    };
  }

  async #read(read: BlobRead, signal: AbortSignal): Promise<BlobBody> {
    const { digest, end, start = 0 } = read;
    const { clock, latencyMs } = this.#options;
    this.requests++;
    await delay(clock, latencyMs, signal).catch(() => {
      throw abortedError(signal);
    });
    if (this.failure !== undefined) throw this.failure;
    const blob = this.#blobs.get(digest);
    const file = this.#files.get(read.origin.repository);
    if (file !== undefined && !this.#mayRead(file, fileRequest(read.origin).headers)) {
      throw new DamselflyError('UPSTREAM_REFUSED', 'not for you', { status: 401, digest });
    }
    if (blob === undefined) {
      throw new DamselflyError('UPSTREAM_REFUSED', 'no such blob', { status: 404, digest });
    }
    requireKnownSize(read, blob.length);
    const last = end ?? blob.length;
    const whole = !this.ranges || (start === 0 && last === blob.length);
    const from = whole ? 0 : start;
    const bytes = this.#body(digest, blob.subarray(from, last), from, signal);
    return { size: blob.length, whole, bytes: from === start ? bytes : skip(bytes, start) };
  }

  #mayRead({ reader }: MemoryFile, headers: Readonly<Record<string, unknown>>): boolean {
    return !this.forbidden && (reader === undefined || headers['authorization'] === reader);
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
      const wrong = this.lieAt - start - at;
      if (this.lie === digest && wrong >= 0 && wrong < chunk.length) chunk[wrong] = (chunk[wrong] ?? 0) ^ 1;
      this.sentBytes.set(digest, (this.sentBytes.get(digest) ?? 0) + chunk.length);
      yield chunk;
    }
  }
}

async function* skip(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const chunk of bytes) {
    if (left < chunk.length) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

async function* just(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
