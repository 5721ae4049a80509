import type { Digest } from '../core/digest.ts';
import type { BlobEntry } from './blob-entry.ts';

/** Every blob of the store, by digest, and what they take together. */
export class Catalog {
  readonly #entries: Map<Digest, BlobEntry>;
  /** Entries that somebody has open, or may have. */
  readonly #inUse = new Set<BlobEntry>();
  #reservedBytes = 0;

  /** @param entries becomes the catalog's own */
  constructor(entries: Map<Digest, BlobEntry>) {
    this.#entries = entries;
    for (const { info } of entries.values()) this.#reservedBytes += info.size;
  }

  /** Whole sizes, whatever is held of each. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** Bytes that blobs in use may still write. */
  get promisedBytes(): number {
    let bytes = 0;
    for (const { heldBytes, info } of this.#inUse) bytes += info.size - heldBytes;
    return bytes;
  }

  get(digest: Digest): BlobEntry | undefined {
    return this.#entries.get(digest);
  }

  all(): IterableIterator<BlobEntry> {
    return this.#entries.values();
  }

  /** Nobody has them open: they may go. */
  unused(): BlobEntry[] {
    return [...this.#entries.values()].filter((entry) => entry.openers === 0);
  }

  inUse(): BlobEntry[] {
    return [...this.#inUse];
  }

  add(entry: BlobEntry): void {
    this.#entries.set(entry.info.digest, entry);
    this.#reservedBytes += entry.info.size;
  }

  forget(entry: BlobEntry): void {
    this.#inUse.delete(entry);
    if (this.#entries.get(entry.info.digest) !== entry) return;
    this.#entries.delete(entry.info.digest);
    this.#reservedBytes -= entry.info.size;
  }

  used(entry: BlobEntry): void {
    this.#inUse.add(entry);
  }

  left(entry: BlobEntry): void {
    if (entry.openers === 0) this.#inUse.delete(entry);
  }
}
