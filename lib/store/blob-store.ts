import type { Digest } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import { type BlobInfo, pieceLength } from '../core/geometry.ts';
import { hash53 } from '../core/rendezvous.ts';
import type { Logger } from '../observe/log.ts';
import { type Clock, every } from '../runtime/clock.ts';
import { BlobEntry, type BlobEntryDeps } from './blob-entry.ts';
import { Catalog } from './catalog.ts';
import type { Disk } from './disk/disk.ts';
import type { StoreLimits } from './eviction.ts';
import { blobHandle } from './handle.ts';
import type { KeyValue } from './key-value/key-value.ts';
import type { OpenBlob } from './open-blob.ts';
import { createPieceHasher } from './piece-hasher.ts';
import { createRecordWriter } from './record-writer.ts';
import { recover } from './recover.ts';
import { Room } from './room.ts';
import { scrub } from './scrub.ts';
import { createSerial, type Serial } from './serial.ts';
import type { BlobStore, BlobSummary, CollectReport, StoredBlob, VerifyReport } from './store.ts';
import { storeError } from './store-error.ts';

/** Numbers below it take no memory of their own, which counts with 100,000 blobs. */
const SMALL = 2 ** 30;
/** How often the collector looks, milliseconds. */
const COLLECT_MS = 60_000;

export interface BlobStoreDeps {
  readonly disk: Disk;
  /** Stays open when the store closes. */
  readonly keyValue: KeyValue;
  readonly log: Logger;
  readonly clock: Clock;
  /** Milliseconds since the epoch, for the time of last use. */
  readonly wallClockMs: () => number;
  /** Owned by this store alone; created when absent. */
  readonly folder: string;
}

export interface BlobStoreOptions extends StoreLimits {
  /** Bytes per second that the scrub reads. Default: it does not run. */
  readonly scrubRate?: number | undefined;
}

/**
 * Opens the store in a folder and brings it in order after whatever ended its last use.
 * @throws STORE_FULL, STORE_FAILED, STORE_READ_ONLY
 */
export async function openBlobStore(deps: BlobStoreDeps, options: BlobStoreOptions = {}): Promise<BlobStore> {
  try {
    const { disk, folder, keyValue, log } = deps;
    const late: { store?: FolderBlobStore } = {};
    const entryDeps: BlobEntryDeps = {
      ...{ disk, folder, keyValue, log, boot: hash53(await disk.bootId()) % SMALL },
      records: createRecordWriter(deps),
      hasher: createPieceHasher(),
      makeRoom: async (bytes) => (await late.store?.makeRoom(bytes)) === true,
      lost: (info, index) => late.store?.lost(info, index),
    };
    const entries = await recover(deps, (record) => new BlobEntry(entryDeps, record));
    late.store = new FolderBlobStore(deps, entryDeps, new Catalog(entries), options);
    return late.store;
  } catch (error) {
    throw storeError(error, 'open the store', { folder: deps.folder });
  }
}

class FolderBlobStore implements BlobStore {
  readonly #deps: BlobStoreDeps;
  readonly #entryDeps: BlobEntryDeps;
  readonly #catalog: Catalog;
  readonly #room: Room;
  /** New blobs are admitted one by one, so that two never take the same room. */
  readonly #admission: Serial = createSerial();
  readonly #listeners: ((info: BlobInfo, index: number) => void)[] = [];
  readonly #ending = new AbortController();
  readonly #stopCollecting: () => void;
  readonly #scrubbing: Promise<void>;
  #closing: Promise<void> | undefined;

  constructor(deps: BlobStoreDeps, entryDeps: BlobEntryDeps, catalog: Catalog, options: BlobStoreOptions) {
    const { clock, disk, folder, keyValue, log, wallClockMs } = deps;
    this.#deps = deps;
    this.#entryDeps = entryDeps;
    this.#catalog = catalog;
    const remove = (entry: BlobEntry): Promise<void> => this.#remove(entry);
    this.#room = new Room({ disk, folder, log, wallClockMs, remove }, this.#catalog, options);
    this.#stopCollecting = every(clock, COLLECT_MS, () => {
      this.#room.collect().catch((error: unknown) => {
        log.warn({ error: describeError(error) }, 'the store could not be collected');
      });
    });
    const { scrubRate = 0 } = options;
    const scrubDeps = {
      ...{ clock, log, keyValue },
      digests: () => Array.from(this.#catalog.all(), ({ info }) => info.digest),
      examine: (digest: string, index: number) => this.#examine(digest as Digest, index),
    };
    this.#scrubbing = scrubRate > 0 ? scrub(scrubDeps, scrubRate, this.#ending.signal) : Promise.resolve();
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    this.#checkOpen();
    const entry = this.#catalog.get(digest);
    if (entry === undefined || entry.removal !== undefined) return undefined;
    const blob = await this.#acquire(entry);
    if (blob === undefined) return undefined;
    if (entry.openers === 1 && blob.empty && !entry.complete) {
      await this.#release(entry);
      return undefined;
    }
    return this.#handle(entry, blob);
  }

  async create(info: BlobInfo): Promise<StoredBlob> {
    for (;;) {
      this.#checkOpen();
      const entry = this.#catalog.get(info.digest) ?? (await this.#admission(() => this.#admit(info)));
      if (entry.removal !== undefined && !entry.dropping) {
        // Wanted again before it has gone: it stays.
        entry.removal.resolve();
        entry.removal = undefined;
      }
      const blob = await this.#acquire(entry);
      if (blob === undefined) continue;
      const sameSize = entry.info.size === info.size;
      if (sameSize && entry.info.pieceBytes === info.pieceBytes) return this.#handle(entry, blob);
      // A complete blob is as long as it is: whoever asks for another size is wrong.
      const replaceable = entry.openers - entry.examiners === 1 && (sameSize || !entry.complete);
      await this.#release(entry);
      if (!replaceable) {
        const facts = { digest: info.digest, size: entry.info.size, pieceBytes: entry.info.pieceBytes };
        throw new DamselflyError('STORE_FAILED', 'the blob is here with another size or piece size', facts);
      }
      await this.#remove(entry);
    }
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#checkOpen();
    const entry = this.#catalog.get(digest);
    if (entry === undefined) return false;
    await this.#remove(entry);
    return true;
  }

  get(digest: Digest): BlobSummary | undefined {
    const entry = this.#catalog.get(digest);
    return entry === undefined ? undefined : summaryOf(entry);
  }

  list(): readonly BlobSummary[] {
    const summaries: BlobSummary[] = [];
    for (const entry of this.#catalog.all()) {
      const summary = summaryOf(entry);
      if (summary !== undefined) summaries.push(summary);
    }
    return summaries;
  }

  pin(digest: Digest): Promise<boolean> {
    return this.#setPinned(digest, true);
  }

  unpin(digest: Digest): Promise<boolean> {
    return this.#setPinned(digest, false);
  }

  async gc(): Promise<CollectReport> {
    this.#checkOpen();
    return this.#room.collect();
  }

  async verify(digest: Digest): Promise<VerifyReport | undefined> {
    this.#checkOpen();
    const entry = this.#catalog.get(digest);
    const blob = entry === undefined ? undefined : await this.#acquire(entry);
    if (entry === undefined || blob === undefined) return undefined;
    try {
      const report = { pieces: 0, lost: 0 };
      for (let index = 0; index < entry.info.pieces; index++) {
        if (!blob.pieces.have.has(index)) continue;
        report.pieces++;
        if (!(await blob.recheck(index))) report.lost++;
      }
      return report;
    } finally {
      await this.#release(entry);
    }
  }

  async export(digest: Digest, path: string): Promise<void> {
    this.#checkOpen();
    const entry = this.#catalog.get(digest);
    const blob = entry === undefined ? undefined : await this.#acquire(entry);
    try {
      if (blob === undefined) throw new DamselflyError('BLOB_UNKNOWN', 'the blob is not here', { digest });
      await blob.export(path);
    } finally {
      if (entry !== undefined) await this.#release(entry);
    }
  }

  onLoss(listener: (info: BlobInfo, index: number) => void): void {
    this.#listeners.push(listener);
  }

  /** A piece turned out wrong and is gone. */
  lost(info: BlobInfo, index: number): void {
    for (const listener of this.#listeners) listener(info, index);
  }

  /** The disk turned out to be full. @returns whether so many bytes are free now */
  makeRoom(bytes: number): Promise<boolean> {
    return this.#room.free(bytes);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopCollecting();
    this.#ending.abort();
    await this.#scrubbing;
    await this.#admission(async () => {});
    await Promise.all(
      this.#catalog.inUse().map((entry) => {
        entry.openers = 0;
        return this.#idle(entry);
      }),
    );
    await this.#entryDeps.records.close().catch((error: unknown) => {
      throw storeError(error, 'record the last pieces');
    });
  }

  /** @returns undefined when the blob went away meanwhile */
  async #acquire(entry: BlobEntry): Promise<OpenBlob | undefined> {
    entry.openers++;
    this.#catalog.used(entry);
    try {
      await entry.ready();
      this.#checkOpen();
    } catch (error) {
      await this.#release(entry);
      throw error;
    }
    if (entry.dropped) this.#catalog.forget(entry);
    return entry.dropped ? undefined : entry.blob;
  }

  async #release(entry: BlobEntry): Promise<void> {
    // Closing the store has already counted everyone out.
    if (entry.openers > 0) entry.openers--;
    if (entry.openers === 0) await this.#idle(entry);
  }

  async #idle(entry: BlobEntry): Promise<void> {
    this.#catalog.used(entry);
    await entry.idle();
    this.#catalog.left(entry);
    if (entry.dropped) this.#catalog.forget(entry);
  }

  async #remove(entry: BlobEntry): Promise<void> {
    if (entry.dropped) return;
    entry.removal ??= Promise.withResolvers<void>();
    const { promise } = entry.removal;
    if (entry.openers === 0) void this.#idle(entry);
    await promise;
    if (entry.dropped) this.#catalog.forget(entry);
  }

  async #admit(info: BlobInfo): Promise<BlobEntry> {
    const known = this.#catalog.get(info.digest);
    if (known !== undefined) return known;
    await this.#room.admit(info);
    this.#checkOpen();
    const usedAtMs = this.#deps.wallClockMs();
    const { boot } = this.#entryDeps;
    const empty = { complete: false, synced: false, pinned: false, heldBytes: 0, boot };
    const entry = new BlobEntry(this.#entryDeps, { info, usedAtMs, ...empty });
    this.#catalog.add(entry);
    return entry;
  }

  async #setPinned(digest: Digest, pinned: boolean): Promise<boolean> {
    this.#checkOpen();
    const entry = this.#catalog.get(digest);
    if (entry === undefined || entry.removal !== undefined) return false;
    const { records } = this.#entryDeps;
    entry.pinned = pinned;
    records.changed(entry);
    try {
      await records.flush({ sync: true });
    } catch (error) {
      throw storeError(error, pinned ? 'pin a blob' : 'unpin a blob', { digest });
    }
    return !entry.dropped;
  }

  /** One piece for the scrub: the blob is open no longer than that takes. */
  async #examine(digest: Digest, index: number): Promise<number | undefined> {
    const entry = this.#catalog.get(digest);
    if (entry === undefined || entry.removal !== undefined || index >= entry.info.pieces) return undefined;
    entry.examiners++;
    try {
      const blob = await this.#acquire(entry);
      if (blob === undefined) return undefined;
      try {
        if (!blob.pieces.have.has(index)) return 0;
        await blob.recheck(index);
        return pieceLength(entry.info, index);
      } finally {
        await this.#release(entry);
      }
    } finally {
      entry.examiners--;
    }
  }

  #handle(entry: BlobEntry, blob: OpenBlob): StoredBlob {
    const use = (): void => {
      entry.usedAtMs = this.#deps.wallClockMs();
      this.#entryDeps.records.changed(entry);
    };
    use();
    return blobHandle(entry, blob, () => {
      if (this.#closing === undefined) use();
      return this.#release(entry);
    });
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new DamselflyError('STORE_FAILED', 'the store is closed');
  }
}

/** Undefined for one that is about to go. */
function summaryOf(entry: BlobEntry): BlobSummary | undefined {
  const { complete, heldBytes, info, pinned, removal, usedAtMs } = entry;
  return removal === undefined ? { info, bytes: heldBytes, complete, pinned, usedAtMs } : undefined;
}
