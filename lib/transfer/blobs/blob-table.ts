import type { Digest } from '../../core/digest.ts';
import type { DamselflyError } from '../../core/errors.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { BufferPool } from '../buffer-pool.ts';
import type { ProofJudge } from '../proofs/proof-judge.ts';
import { SharedBlob } from './shared-blob.ts';

/** The blobs that are part of the swarm now, by digest and by their slot in the core. */
export class BlobTable {
  readonly #pool: BufferPool;
  readonly #judge: ProofJudge | undefined;
  readonly #onFirst: () => void;
  readonly #blobs = new Map<Digest, SharedBlob>();
  readonly #bySlot: (SharedBlob | undefined)[] = [];
  readonly #opening = new Map<Digest, Promise<SharedBlob | undefined>>();
  #nextHandle = 1;

  /** @param onFirst called when a blob comes and there was none */
  constructor(pool: BufferPool, judge: ProofJudge | undefined, onFirst: () => void) {
    this.#pool = pool;
    this.#judge = judge;
    this.#onFirst = onFirst;
  }

  get size(): number {
    return this.#blobs.size;
  }

  get(digest: Digest): SharedBlob | undefined {
    return this.#blobs.get(digest);
  }

  atSlot(slot: number): SharedBlob | undefined {
    return this.#bySlot[slot];
  }

  all(): SharedBlob[] {
    return [...this.#blobs.values()];
  }

  /**
   * The blob, taken in from the store when it is not here yet; concurrent callers get the same one.
   * @param open opens it in the store, or tells that it is not there
   * @param enlist gives it its slot in the core
   */
  async activate(
    digest: Digest,
    open: () => Promise<StoredBlob | undefined>,
    enlist: (stored: StoredBlob) => { readonly slot: number; readonly nowMs: number },
  ): Promise<SharedBlob | undefined> {
    // Someone else's attempt may have found nothing where ours would create it.
    for (let other = this.#opening.get(digest); other !== undefined; other = this.#opening.get(digest)) {
      const blob = await other;
      if (blob !== undefined) return blob;
    }
    const here = this.#blobs.get(digest);
    if (here !== undefined) return here;
    const opening = open().then((stored) => {
      if (stored === undefined) return undefined;
      const { slot, nowMs } = enlist(stored);
      const blob = new SharedBlob(stored, this.#pool, this.#nextHandle++, slot, nowMs, this.#judge);
      this.#blobs.set(digest, blob);
      this.#bySlot[slot] = blob;
      if (this.#blobs.size === 1) this.#onFirst();
      return blob;
    });
    this.#opening.set(digest, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(digest);
    }
  }

  /** Takes the blob out; its slot may be given away afterwards. */
  retire(blob: SharedBlob): void {
    blob.retired = true;
    blob.check.stop();
    this.#blobs.delete(blob.digest);
    this.#bySlot[blob.slot] = undefined;
  }

  /** Ends their readers, and what the store has open for them. */
  async close(reason: DamselflyError): Promise<void> {
    for (const blob of this.all()) {
      blob.failure ??= reason;
      blob.changed();
      await blob.stored.close();
    }
  }
}
