import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { BlobStore, StoredBlob } from '../../lib/store/store.ts';

/** What a shared file is made of, in order: blobs of the store, and the few bytes between them in an archive. */
export type Part =
  | { readonly kind: 'blob'; readonly digest: Digest; readonly size: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/** A blob that nobody has read for so long is closed, so that the store may do with it what it wants. */
const IDLE_MS = 5_000;

function partSize(part: Part): number {
  return part.kind === 'blob' ? part.size : part.bytes.length;
}

/** The bytes of a shared file, read where they are: in the store, each verified there, without a copy. */
export class SharedContent {
  readonly size: number;
  readonly #clock: Clock;
  readonly #store: Pick<BlobStore, 'open'>;
  readonly #parts: readonly { readonly part: Part; readonly start: number }[];
  readonly #open = new Map<Digest, Promise<StoredBlob>>();
  #reads = 0;
  #cancelIdle = (): void => {};

  constructor(
    { clock, store }: { readonly clock: Clock; readonly store: Pick<BlobStore, 'open'> },
    parts: readonly Part[],
  ) {
    this.#clock = clock;
    this.#store = store;
    let start = 0;
    this.#parts = parts.map((part) => {
      const placed = { part, start };
      start += partSize(part);
      return placed;
    });
    this.size = start;
  }

  /**
   * Fills `into` from byte `offset` on.
   * @throws BLOB_UNKNOWN when a blob is not here any more, or not whole; PIECE_MISMATCH, STORE_*
   */
  async read(offset: number, into: Uint8Array): Promise<void> {
    this.#reads++;
    this.#cancelIdle();
    try {
      const end = offset + into.length;
      for (const { part, start } of this.#parts) {
        const [from, to] = [Math.max(offset, start), Math.min(end, start + partSize(part))];
        if (from >= to) continue;
        const target = into.subarray(from - offset, to - offset);
        if (part.kind === 'bytes') target.set(part.bytes.subarray(from - start, to - start));
        else await (await this.#blob(part.digest, part.size)).read(from - start, target);
      }
    } finally {
      this.#reads--;
      if (this.#reads === 0) this.#cancelIdle = this.#clock.after(IDLE_MS, () => void this.close());
    }
  }

  /** Lets go of the blobs; the next read opens them again. */
  async close(): Promise<void> {
    this.#cancelIdle();
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const blob of await Promise.allSettled(open)) {
      if (blob.status === 'fulfilled') await blob.value.close();
    }
  }

  #blob(digest: Digest, size: number): Promise<StoredBlob> {
    const known = this.#open.get(digest);
    if (known !== undefined) return known;
    const opening = this.#openBlob(digest, size);
    this.#open.set(digest, opening);
    opening.catch(() => this.#open.delete(digest));
    return opening;
  }

  async #openBlob(digest: Digest, size: number): Promise<StoredBlob> {
    const blob = await this.#store.open(digest);
    if (blob?.complete === true && blob.info.size === size) return blob;
    await blob?.close();
    throw new DamselflyError('BLOB_UNKNOWN', `${digest} is not here, or not whole`, { digest });
  }
}
