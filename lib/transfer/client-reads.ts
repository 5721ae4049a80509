import type { BlobRequest, BlobSource } from '../core/blob-source.ts';
import { digestAlgorithm, digestOf } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { pieceAt } from '../core/geometry.ts';
import type { ByteRange } from '../core/range.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { BlobBody, OriginClient } from '../origin/origin-client.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { BlobStore } from '../store/store.ts';
import { chunkBytesFor, endsWhole, readShared, readStored, wantedRange } from './blob-reader.ts';
import { readDirectly } from './direct-read.ts';
import type { PieceSink } from './piece-sink.ts';
import type { SharedBlob } from './shared-blob.ts';

export interface ClientReadsDeps {
  readonly store: BlobStore;
  readonly origin: OriginClient;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Lazy readers (eStargz, SOCI, zstd:chunked) ask for footers and tables of contents: no longer than this. */
const SHORT_BYTES = 1024 * 1024;
/** So long a short part may take to come from the swarm, which has it last of all when it is the end of a cold blob. */
const SHORT_WAIT_MS = 50;

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
  #readers = 0;

  constructor(deps: ClientReadsDeps, sink: PieceSink, host: ClientReadsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  async *open(
    request: BlobRequest,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    this.#readers++;
    try {
      yield* this.#read(request, signal);
    } finally {
      this.#readers--;
    }
  }

  async *#read(request: BlobRequest, signal: AbortSignal): AsyncGenerator<Uint8Array> {
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
          for await (const chunk of readStored(kept, range, chunkBytesFor(this.#readers))) {
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
    const holdsBack = endsWhole(request);
    const chunkBytes = chunkBytesFor(this.#readers);
    const hooks = { chunkBytes, holdsBack, waitsFor: (piece: number) => this.#host.waitsFor(blob, piece) };
    let sent = range.start;
    this.#host.readers(blob, 1);
    try {
      hooks.waitsFor(pieceAt(blob.info, range.start));
      const hurried = await this.#hurried(blob, request, signal);
      if (hurried !== undefined) {
        for await (const chunk of hurried.bytes) {
          this.#deps.metrics.receivedBytes.inc({ source: 'origin' }, chunk.length);
          sent += chunk.length;
          yield chunk;
        }
        return;
      }
      for await (const chunk of readShared(blob, range, hooks, signal)) {
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
    const from =
      range.start === 0 && holdsBack
        ? { start: sent, hash: await this.#sink.hashOfPrefix(blob, sent) }
        : { start: sent };
    yield* readDirectly(this.#deps.origin, request, from, signal);
  }

  /** A short part straight from the registry, when it does not come from the swarm before its reader loses time. */
  async #hurried(blob: SharedBlob, request: BlobRequest, signal: AbortSignal): Promise<BlobBody | undefined> {
    const range = wantedRange(request);
    // What is a whole blob after all waits for its digest.
    if (request.rangeIs !== 'part' || endsWhole(request)) return undefined;
    if (await this.#comesSoon(blob, range, signal)) return undefined;
    try {
      return await this.#deps.origin.readBlob({ ...request, ...range }, { signal });
    } catch (error) {
      // The swarm may still have it when the registry does not give it to us.
      if (signal.aborted) throw error;
      return undefined;
    }
  }

  /** Whether to wait for the swarm: the range is long, or its pieces are here before a lazy reader has lost time. */
  async #comesSoon(blob: SharedBlob, range: ByteRange, signal: AbortSignal): Promise<boolean> {
    if (range.end - range.start > SHORT_BYTES) return true;
    const { have } = blob.stored;
    const first = pieceAt(blob.info, range.start);
    const last = pieceAt(blob.info, range.end - 1);
    const late = new AbortController();
    void delay(this.#deps.clock, SHORT_WAIT_MS, late.signal).then(
      () => late.abort(),
      () => {},
    );
    const waiting = AbortSignal.any([signal, late.signal]);
    try {
      for (let piece = first; piece <= last; ) {
        if (have.has(piece)) piece++;
        else await blob.nextChange(waiting);
      }
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      return false;
    } finally {
      late.abort();
    }
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
