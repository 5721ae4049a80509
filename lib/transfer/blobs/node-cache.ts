import { type Digest, digestAlgorithm, digestOf, pieceHash } from '../../core/digest.ts';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import { pieceLength } from '../../core/geometry.ts';
import type { CollectReport } from '../../store/store.ts';
import type { PieceBuffer } from '../buffer-pool.ts';
import type { EngineDeps } from '../engine-deps.ts';
import { OneRead } from '../proofs/vouching.ts';
import type { PieceSink } from './piece-sink.ts';
import { removeBlob } from './remove-blob.ts';
import type { SharedBlob } from './shared-blob.ts';

export interface NodeCacheHost {
  /** The blob in the swarm, made in the store when it is not there. */
  create(blob: { readonly digest: Digest; readonly size: number }): Promise<SharedBlob | undefined>;
  /** A piece is held. */
  obtained(blob: SharedBlob, piece: number): void;
  /** Whether a client reads the blob now. */
  isRead(digest: Digest): boolean;
  /** Takes the blob out of the swarm, unless somebody waits for it. @returns whether nobody does */
  release(digest: Digest): boolean;
  /** Takes every blob out of the swarm that nobody is getting. */
  releaseIdle(): Promise<void>;
}

/** What people do to a node's blobs by hand: bring them from elsewhere than a registry or a peer, and remove them. */
export class NodeCache {
  readonly #deps: EngineDeps;
  readonly #sink: PieceSink;
  readonly #host: NodeCacheHost;

  constructor(deps: EngineDeps, sink: PieceSink, host: NodeCacheHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  /**
   * Stores a blob and shares it from then on. What is here already is not read.
   * @returns whether it was new
   * @throws DIGEST_MISMATCH when the bytes are others, or not as many; STORE_*, ABORTED
   */
  async add(
    what: { readonly digest: Digest; readonly size: number },
    bytes: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { digest, size } = what;
    if (this.#deps.store.get(digest)?.complete === true) return false;
    if (size === 0) {
      if (digestOf(new Uint8Array(), digestAlgorithm(digest)) !== digest) throw mismatch(digest);
      return true;
    }
    const blob = await this.#host.create(what);
    if (blob === undefined) throw new DamselflyError('INTERNAL', 'a created blob is absent', { digest });
    if (blob.info.size !== size) throw mismatch(digest);
    blob.failure = undefined;
    await this.#fill(blob, bytes, signal);
    await this.#sink.check(blob);
    if (!blob.stored.complete) throw blob.failure ?? mismatch(digest);
    return true;
  }

  /** Removes a blob, pinned or not, unless it is being read or fetched. */
  async remove(digest: Digest): Promise<'removed' | 'unknown' | 'in-use' | 'borrowed'> {
    const summary = this.#deps.store.get(digest);
    if (summary === undefined) return 'unknown';
    if (summary.borrowed === true) return 'borrowed';
    if (this.#host.isRead(digest) || !this.#host.release(digest)) return 'in-use';
    await removeBlob(this.#deps, digest);
    return 'removed';
  }

  /** Removes at once what the collector would. A blob that is shared with neighbours and read by nobody may go too. */
  async collect(): Promise<CollectReport> {
    const { discovery, store } = this.#deps;
    await this.#host.releaseIdle();
    const collected = await store.gc();
    discovery.withdraw(collected.removed.filter((digest) => store.get(digest) === undefined));
    return collected;
  }

  async #fill(blob: SharedBlob, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const { clock, pool, rng, vouching } = this.#deps;
    const { digest, pieces } = blob.info;
    const read = new OneRead({ rng, vouching }, blob.info);
    let index = 0;
    let filled = 0;
    let buffer: PieceBuffer | undefined;
    try {
      for await (const chunk of bytes) {
        if (signal.aborted) throw abortedError(signal);
        for (let taken = 0; taken < chunk.length; ) {
          if (index === pieces) throw mismatch(digest);
          buffer ??= await pool.acquire(pieceLength(blob.info, index), signal);
          const part = chunk.subarray(taken, taken + buffer.bytes.length - filled);
          buffer.bytes.set(part, filled);
          filled += part.length;
          taken += part.length;
          if (filled < buffer.bytes.length) continue;
          await this.#sink.accept(blob, read.proof(index, pieceHash(buffer.bytes)), buffer, 'archive');
          // It stays in the swarm for as long as it grows.
          blob.usedMs = clock.now();
          if (!blob.retired) this.#host.obtained(blob, index);
          buffer.release();
          buffer = undefined;
          index++;
          filled = 0;
        }
      }
    } finally {
      buffer?.release();
    }
    if (index < pieces) throw mismatch(digest);
  }
}

function mismatch(digest: Digest): DamselflyError {
  return new DamselflyError('DIGEST_MISMATCH', 'these are not the bytes of the blob', { expected: digest });
}
