import { DamselflyError, describeError } from '../core/errors.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { Logger } from '../observe/log.ts';
import type { BlobEntry } from './blob-entry.ts';
import type { Catalog } from './catalog.ts';
import type { Disk, DiskSpace } from './disk/disk.ts';
import { chooseGarbage, chooseVictims, held, reserved, type StoreLimits } from './eviction.ts';
import { createSerial } from './serial.ts';
import type { CollectReport } from './store.ts';

export interface RoomDeps {
  readonly disk: Disk;
  readonly folder: string;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  readonly remove: (entry: BlobEntry) => Promise<void>;
}

/** Keeps the store within its quota and its disk, by removing blobs that nobody has open and nobody pinned. */
export class Room {
  readonly #deps: RoomDeps;
  readonly #catalog: Catalog;
  readonly #limits: StoreLimits;
  readonly #maxBytes: number;
  readonly #freeing = createSerial();

  constructor(deps: RoomDeps, catalog: Catalog, limits: StoreLimits) {
    this.#deps = deps;
    this.#catalog = catalog;
    this.#limits = limits;
    this.#maxBytes = limits.maxBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Makes room for a new blob. @throws STORE_FULL when there is none even without all blobs that may go */
  async admit(info: BlobInfo): Promise<void> {
    if (info.size > this.#maxBytes) throw this.#full('the blob is larger than the quota', info);
    for (;;) {
      const excess = this.#catalog.reservedBytes + info.size - this.#maxBytes;
      if (excess <= 0) break;
      const victims = chooseVictims(this.#catalog.unused(), excess, reserved);
      if (victims === undefined) throw this.#full('blobs in use take up the quota', info);
      const removed = await this.#removeAll(victims);
      if (removed.length === 0) throw this.#full('nothing could be evicted', info);
    }
    const space = await this.#space();
    // A sparse file takes its room piece by piece: what others were promised is counted as taken.
    const lacking = info.size + this.#catalog.promisedBytes - space.freeBytes;
    if (lacking <= 0) return;
    const victims = chooseVictims(this.#catalog.unused(), lacking, held);
    if (victims === undefined) throw this.#full('the disk has no room for the blob', info);
    await this.#removeAll(victims);
  }

  /** The disk is full although it seemed not to be: makes so many bytes free. @returns whether it could */
  free(bytes: number): Promise<boolean> {
    const calledBytes = this.#catalog.reservedBytes;
    return this.#freeing(async () => {
      const somebodyElseDid = this.#catalog.reservedBytes < calledBytes;
      if (somebodyElseDid && (await this.#space()).freeBytes >= bytes) return true;
      // A file that is being closed may be waiting for us.
      const closed = this.#catalog.unused().filter((entry) => entry.blob?.isOpen !== true);
      const victims = chooseVictims(closed, bytes, held);
      if (victims === undefined) return false;
      await this.#removeAll(victims);
      return true;
    });
  }

  async collect(): Promise<CollectReport> {
    const state = {
      reservedBytes: this.#catalog.reservedBytes,
      space: await this.#space(),
      nowMs: this.#deps.wallClockMs(),
    };
    const garbage = chooseGarbage(this.#catalog.unused(), state, this.#limits);
    const removed = await this.#removeAll(garbage);
    return {
      removed: removed.map(({ info }) => info.digest),
      freedBytes: removed.reduce((sum, entry) => sum + entry.heldBytes, 0),
    };
  }

  /** @returns those that went: whoever was opened or pinned meanwhile stays */
  async #removeAll(victims: readonly BlobEntry[]): Promise<BlobEntry[]> {
    const removed: BlobEntry[] = [];
    for (const victim of victims) {
      if (victim.openers > 0 || victim.pinned || victim.dropped) continue;
      const { heldBytes, info } = victim;
      try {
        await this.#deps.remove(victim);
      } catch (error) {
        // On a full disk its file is gone all the same, and the next one's record may find room.
        const facts = { digest: info.digest, error: describeError(error) };
        this.#deps.log.warn(facts, 'a blob could not be evicted');
        continue;
      }
      if (!victim.dropped) continue;
      removed.push(victim);
      this.#deps.log.info({ digest: info.digest, size: info.size, heldBytes }, 'evicted a blob');
    }
    return removed;
  }

  async #space(): Promise<DiskSpace> {
    return await this.#deps.disk.space(this.#deps.folder);
  }

  #full(message: string, { digest, size }: BlobInfo): DamselflyError {
    const limit = Number.isFinite(this.#maxBytes) ? { maxBytes: this.#maxBytes } : {};
    return new DamselflyError('STORE_FULL', message, { digest, size, ...limit });
  }
}
