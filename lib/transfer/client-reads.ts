import type { BlobRequest, BlobSource } from '../core/blob-source.ts';
import { digestAlgorithm, digestOf } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { pieceAt } from '../core/geometry.ts';
import type { OriginClient } from '../origin/origin-client.ts';
import type { BlobStore } from '../store/store.ts';
import { readShared, readStored, wantedRange } from './blob-reader.ts';
import type { BufferPool } from './buffer-pool.ts';
import { readDirectly } from './direct-read.ts';
import type { PieceSink } from './piece-sink.ts';
import type { SharedBlob } from './shared-blob.ts';

export interface ClientReadsDeps {
  readonly store: BlobStore;
  readonly origin: OriginClient;
  readonly pool: BufferPool;
}

export interface ClientReadsHost {
  /** The blob as part of the swarm, started when it was not. */
  share(request: BlobRequest): Promise<SharedBlob>;
  /** A client begins or ends reading the blob. */
  readers(blob: SharedBlob, change: 1 | -1): void;
  /** A client waits for this piece. */
  waitsFor(blob: SharedBlob, piece: number): void;
  storeFailed(error: DamselflyError): void;
}

/**
 * A node's answer to its clients: from the store when the blob is complete, from the swarm while it lands, and straight
 * from the registry when our own disk fails.
 */
export class ClientReads implements BlobSource {
  readonly #deps: ClientReadsDeps;
  readonly #sink: PieceSink;
  readonly #host: ClientReadsHost;

  constructor(deps: ClientReadsDeps, sink: PieceSink, host: ClientReadsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  async *open(
    request: BlobRequest,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    const range = wantedRange(request);
    if (request.size === 0) {
      requireEmpty(request);
      return;
    }
    let blob: SharedBlob;
    let sent = range.start;
    try {
      const kept = await this.#deps.store.open(request.digest);
      try {
        if (kept?.complete === true) {
          for await (const chunk of readStored(kept, range, this.#deps.pool)) {
            sent += chunk.length;
            yield chunk;
          }
          return;
        }
      } finally {
        await kept?.close();
      }
      blob = await this.#host.share(request);
    } catch (error) {
      // In the middle of a stored blob the client is cut off: it resumes by Range, and then nothing has been sent.
      if (!isStoreTrouble(error) || sent > range.start) throw error;
      this.#host.storeFailed(error);
      yield* readDirectly(this.#deps.origin, request, { start: range.start }, signal);
      return;
    }
    yield* this.#follow(blob, request, signal);
  }

  async *#follow(blob: SharedBlob, request: BlobRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const range = wantedRange(request);
    const hooks = { waitsFor: (piece: number) => this.#host.waitsFor(blob, piece) };
    let sent = range.start;
    this.#host.readers(blob, 1);
    try {
      hooks.waitsFor(pieceAt(blob.info, range.start));
      for await (const chunk of readShared(blob, range, hooks, this.#deps.pool, signal)) {
        sent += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      if (!isStoreTrouble(error)) throw error;
      this.#host.storeFailed(error);
    } finally {
      this.#host.readers(blob, -1);
    }
    // Our disk failed in the middle: the rest comes straight from the registry, from where the client stands.
    const whole = range.start === 0 && range.end === request.size;
    const from = whole ? { start: sent, hash: await this.#sink.hashOfPrefix(blob, sent) } : { start: sent };
    yield* readDirectly(this.#deps.origin, request, from, signal);
  }
}

function requireEmpty({ digest }: BlobRequest): void {
  if (digest === digestOf(new Uint8Array(), digestAlgorithm(digest))) return;
  throw new DamselflyError('DIGEST_MISMATCH', 'the blob is empty but its digest is not', {
    expected: digest,
  });
}

function isStoreTrouble(error: unknown): error is DamselflyError {
  return error instanceof DamselflyError && (error.code === 'STORE_FULL' || error.code === 'STORE_FAILED');
}
