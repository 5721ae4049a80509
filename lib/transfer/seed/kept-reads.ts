import { BoundedMap } from '../../core/bounded-map.ts';
import { type Digest, isFileKey } from '../../core/digest.ts';
import { DamselflyError, describeError, hasCode } from '../../core/errors.ts';
import { bytesKey, decodeIndex, indexKey, type KeptIndex } from '../../objects/kept-index.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { BlobBody, BlobRead, OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import { KeptRemovals } from './kept-removals.ts';

/** A client waits: what the store does not say by then, the registry is asked. */
const ANSWER_MS = 1_500;
/** A store that failed is spared for so long. */
const SPARED_MS = 5_000;
/** Indexes kept in memory: each has 32 bytes a piece, some 16 KiB for a gibibyte. */
const MOST_INDEXES = 256;
/** A blob that was not there is looked for again after so long. */
const ABSENT_MS = 10_000;
const MOST_ABSENT = 10_000;

/** What is known of a blob that is kept. */
interface Known {
  readonly index: KeptIndex;
  /** Of the bytes that were read by it last. */
  version?: string;
}

export interface KeptReadsDeps {
  readonly objects: ObjectStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Reads blobs from the object store that keeps them, and from the registry those that it does not have, or not right:
 * each piece from the store comes with the SHA-256 that it must have.
 */
export class KeptReads implements Pick<OriginClient, 'readBlob'> {
  readonly #deps: KeptReadsDeps;
  readonly #registry: Pick<OriginClient, 'readBlob'>;
  readonly #known = new BoundedMap<Known>(MOST_INDEXES);
  /** Digest -> when it turned out not to be there. */
  readonly #absent = new BoundedMap<number>(MOST_ABSENT);
  readonly #removals: KeptRemovals;
  #failedMs = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;

  constructor(deps: KeptReadsDeps, registry: Pick<OriginClient, 'readBlob'>) {
    this.#deps = deps;
    this.#registry = registry;
    this.#removals = new KeptRemovals(deps);
  }

  /** What is wrong with the store. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async readBlob(read: BlobRead, options: { readonly signal: AbortSignal }): Promise<BlobBody> {
    const kept = await this.#read(read, options.signal);
    return kept ?? (await this.#registry.readBlob(read, options));
  }

  /** What the store knows of the blob; undefined when it does not have it, or does not answer. @throws ABORTED */
  async index(digest: Digest, signal: AbortSignal): Promise<KeptIndex | undefined> {
    if (isFileKey(digest)) return undefined;
    const { clock, objects } = this.#deps;
    if (this.#removals.has(digest)) return undefined;
    const now = clock.now();
    const known = this.#known.get(digest);
    if (known !== undefined) return known.index;
    if (now - (this.#absent.get(digest) ?? Number.NEGATIVE_INFINITY) < ABSENT_MS) return undefined;
    const bytes = await this.#try('index', signal, (signal) => objects.get(indexKey(digest), { signal }));
    const index = bytes && decodeIndex(digest, bytes);
    if (index === undefined) this.#absent.set(digest, now);
    else this.#known.set(digest, { index });
    return index;
  }

  /** The blob is there now. */
  keeps(digest: Digest, index: KeptIndex): void {
    this.#absent.delete(digest);
    this.#known.set(digest, { index });
  }

  /** The blob was wrong: it is read from the registry, and what came from the store is removed there. */
  forget(digest: Digest): void {
    this.#forget(digest, this.#known.get(digest)?.version);
  }

  #forget(digest: Digest, version: string | undefined): void {
    if (this.#known.get(digest) === undefined) return;
    const { clock, log } = this.#deps;
    this.#known.delete(digest);
    this.#absent.set(digest, clock.now());
    // It came from elsewhere.
    if (version === undefined) return;
    log.error({ digest }, 'the object store gave other bytes than were kept: the blob is removed from it');
    this.#removals.begin(digest, version);
  }

  /** Waits until what was wrong there is gone, so that the blob can be kept anew. @throws ABORTED */
  async cleared(digest: Digest, signal: AbortSignal): Promise<void> {
    if (!this.#removals.has(digest)) return;
    await this.#removals.gone(digest, signal);
    // Somebody else may have kept it anew meanwhile.
    this.#absent.delete(digest);
  }

  async close(): Promise<void> {
    await this.#removals.close();
  }

  async #read(read: BlobRead, signal: AbortSignal): Promise<BlobBody | undefined> {
    const { digest, start = 0, size } = read;
    const index = await this.index(digest, signal);
    if (index === undefined) return undefined;
    const { info } = index;
    const end = read.end ?? info.size;
    if ((size !== undefined && size !== info.size) || start % info.pieceBytes !== 0 || end <= start) {
      return undefined;
    }
    const { objects } = this.#deps;
    const ending = new AbortController();
    const part = await this.#try('read', signal, (inTime) => {
      // The deadline is for the answer alone, the signal ends the body too.
      inTime.addEventListener('abort', () => ending.abort(inTime.reason), { once: true });
      return objects.read(bytesKey(digest), { start, end }, { signal: ending.signal });
    });
    if (part === undefined) {
      this.#known.delete(digest);
      return undefined;
    }
    const { version } = part;
    const known = this.#known.get(digest);
    if (known?.index === index) known.version = version;
    const body = { size: info.size, whole: false, bytes: this.#watched(part.bytes, signal) };
    const kept = { hash: (piece: number) => index.hash(piece), wrong: () => this.#forget(digest, version) };
    return { ...body, kept };
  }

  /** A store that breaks off is spared for a while; the read goes on from the registry. */
  #watched(bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const failed = (error: unknown): void => this.#failed('read', error);
    return (async function* () {
      try {
        yield* bytes;
      } catch (error) {
        if (signal.aborted) throw error;
        failed(error);
        throw new DamselflyError('UPSTREAM_BROKEN', describeError(error));
      }
    })();
  }

  async #try<T>(
    kind: 'index' | 'read',
    signal: AbortSignal,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const { clock, metrics } = this.#deps;
    if (clock.now() - this.#failedMs < SPARED_MS) return undefined;
    try {
      const found = await withDeadline(clock, ANSWER_MS, signal, act);
      metrics.objectStore.inc({ kind, outcome: found === undefined ? 'absent' : 'ok' });
      this.#problem = undefined;
      return found;
    } catch (error) {
      if (signal.aborted) throw error;
      const late = hasCode(error, 'ABORTED');
      this.#failed(kind, late ? new DamselflyError('STORE_FAILED', 'no answer in time') : error);
      return undefined;
    }
  }

  #failed(kind: string, error: unknown): void {
    const { clock, log, metrics } = this.#deps;
    metrics.objectStore.inc({ kind, outcome: 'failed' });
    this.#failedMs = clock.now();
    const problem = describeError(error);
    if (this.#problem === undefined) {
      log.warn({ problem }, 'the object store fails: blobs are read from registries');
    }
    this.#problem = problem;
  }
}
