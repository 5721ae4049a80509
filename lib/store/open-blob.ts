import { DamselflyError, describeError, type Facts } from '../core/errors.ts';
import { type BlobInfo, pieceLength, pieceOffset } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';
import type { Logger } from '../observe/log.ts';
import type { BlobEntry } from './blob-entry.ts';
import { checkAfterCrash } from './crash-check.ts';
import type { Disk, DiskFile } from './disk/disk.ts';
import { exportBlob } from './export-blob.ts';
import { HeldPieces } from './held-pieces.ts';
import type { KeyValue } from './key-value/key-value.ts';
import { blobFolder, blobPath, ingestPath } from './path.ts';
import type { PieceHasher } from './piece-hasher.ts';
import { checkProof } from './proof-table.ts';
import { chunkOfKey, piecePrefix } from './record.ts';
import type { RecordWriter } from './record-writer.ts';
import { storeError } from './store-error.ts';
import { SyncPace } from './sync-pace.ts';
import { Trust } from './trust.ts';
import { VerifiedReads } from './verified-reads.ts';

export interface OpenBlobDeps {
  readonly disk: Disk;
  readonly keyValue: KeyValue;
  readonly records: RecordWriter;
  readonly hasher: PieceHasher;
  readonly log: Logger;
  readonly folder: string;
  /** The run of the machine, as a number. */
  readonly boot: number;
  /** The disk is full: removes blobs that nobody uses. @returns whether so many bytes are free now */
  readonly makeRoom: (bytes: number) => Promise<boolean>;
  /** A piece turned out wrong and is gone. */
  readonly lost: (info: BlobInfo, index: number) => void;
}

/**
 * A blob in use: one file, shared by everyone who has it open.
 *
 * Order on disk, the reason why a crash never leaves a wrong byte: a piece's proof is recorded while its bytes are
 * written, that it is held afterwards; a blob is synced, then recorded as complete, then renamed (a start
 * finishes the rename). And whatever happened meanwhile, a piece is read only after it was seen to match its proof.
 */
export class OpenBlob {
  readonly pieces: HeldPieces;
  readonly #deps: OpenBlobDeps;
  readonly #entry: BlobEntry;
  readonly #writing = new Map<number, Promise<void>>();
  readonly #reads: VerifiedReads;
  #file: DiskFile | undefined;
  #trust: Trust | undefined;
  #loaded = false;
  /** Pieces are being forgotten: writes wait. */
  #forgetting: Promise<void> | undefined;
  #resets = 0;
  /** Records may still tell of pieces that are forgotten: nothing may be written over those. */
  #resetFailed = false;
  readonly #syncPace = new SyncPace(() => this.#sync());

  constructor(deps: OpenBlobDeps, entry: BlobEntry) {
    this.#deps = deps;
    this.#entry = entry;
    this.pieces = new HeldPieces(entry.info);
    this.#reads = new VerifiedReads(deps, this.pieces, {
      file: () => this.#openFile(),
      trust: () => this.#trust,
      lose: (index) => this.#forget('drop a piece', () => this.#lose(index)),
    });
  }

  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  get empty(): boolean {
    return this.pieces.have.count === 0;
  }

  /** @returns false when what is on disk is not what we left. @throws what disk and records throw */
  async open(): Promise<boolean> {
    const { boot, disk, hasher, log } = this.#deps;
    const entry = this.#entry;
    const { digest, pieces, size } = entry.info;
    if (!entry.fresh && (await disk.size(entry.path)) !== size) {
      log.warn({ digest }, 'the file of a blob is gone or was changed');
      return false;
    }
    const loaded = this.#loaded;
    if (!loaded) await this.#load();
    if (entry.complete && !this.pieces.have.complete) {
      log.warn({ digest }, 'some proofs of a blob are gone');
      return false;
    }
    const file = await disk.open(entry.path);
    this.#file = file;
    if (entry.fresh) {
      await file.truncate(size);
      entry.fresh = false;
    }
    this.#trust = new Trust(pieces, () => file.stamp(), entry.trust);
    if (this.#resetFailed) await this.#reset();
    if (!loaded && !entry.complete && this.pieces.marked.count > 0) {
      const sure = entry.synced || entry.boot === boot;
      await checkAfterCrash({ file, hasher, log, pieces: this.pieces, verified: this.#trust.pieces, sure });
    }
    entry.boot = boot;
    entry.heldBytes = this.pieces.bytes;
    if (this.pieces.dirty) this.#deps.records.changed(entry);
    if (pieces === 0 && !entry.complete) await this.#commit();
    return true;
  }

  proof(index: number): PieceProof | undefined {
    return this.pieces.have.has(index) ? this.pieces.proof(index) : undefined;
  }

  /** Every write that has begun has ended. */
  async written(): Promise<void> {
    await Promise.allSettled([...this.#writing.values(), this.#syncPace.underWay]);
  }

  /** Spares the next start from hashing what is here. */
  async settle(): Promise<void> {
    const { records } = this.#deps;
    if (this.#file === undefined || this.#entry.synced) return;
    await this.#file.sync();
    this.#entry.synced = true;
    records.changed(this.#entry);
    await records.flush();
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    this.#entry.trust = this.#trust?.past;
    await file.close().catch((error: unknown) => {
      const facts = { digest: this.#entry.info.digest, error: describeError(error) };
      this.#deps.log.warn(facts, 'a file could not be closed');
    });
  }

  /** @throws STORE_FAILED when it is no proof of a piece of this blob */
  expect(proof: PieceProof): void {
    if (!(proof.index >= 0 && proof.index < this.#entry.info.pieces)) {
      throw this.#failed('not a piece of this blob', { index: proof.index });
    }
    checkProof(proof);
    this.pieces.expect(proof);
  }

  /** @throws STORE_* */
  async write(proof: PieceProof, bytes: Uint8Array): Promise<void> {
    if (this.#resetFailed) await this.#resetAtLast();
    while (this.#forgetting !== undefined) await this.#forgetting;
    const { index } = proof;
    if (this.pieces.have.has(index)) return;
    const underWay = this.#writing.get(index);
    if (underWay !== undefined) return underWay;
    const writing = this.#writePiece(proof, bytes).finally(() => this.#writing.delete(index));
    this.#writing.set(index, writing);
    return writing;
  }

  /** @throws PIECE_MISMATCH when a piece is not what it was, and gone now; STORE_* */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const resets = this.#resets;
    await this.#reads.read(offset, into);
    if (resets !== this.#resets) throw this.#failed('the blob changed while it was read', { offset });
  }

  /** Holds a piece against its proof, whatever is known of it. @returns whether it matched or is not held */
  recheck(index: number): Promise<boolean> {
    return this.#reads.recheck(index);
  }

  /**
   * Copies the blob, verified, to a path outside the store.
   * @throws BLOB_UNKNOWN when it is not complete; PIECE_MISMATCH, STORE_*
   */
  export(path: string): Promise<void> {
    const blob = { entry: this.#entry, reads: this.#reads, trust: () => this.#trust };
    return exportBlob(this.#deps.disk, blob, path);
  }

  /** @throws STORE_* */
  commit(): Promise<void> {
    return this.#entry.inTurn(async () => {
      if (this.#entry.complete) return;
      if (!this.pieces.have.complete) throw this.#failed('only a blob with every piece can be committed');
      try {
        await this.#commit();
      } catch (error) {
        throw storeError(error, 'commit a blob', { digest: this.#entry.info.digest });
      }
    });
  }

  /** @throws STORE_* */
  reset(): Promise<void> {
    return this.#forget('reset a blob', async () => {
      await Promise.allSettled(this.#writing.values());
      await this.#reset();
    });
  }

  /** The disk may have recovered. */
  #resetAtLast(): Promise<void> {
    return this.#forget('reset a blob', async () => {
      if (this.#resetFailed) await this.#reset();
    });
  }

  async #load(): Promise<void> {
    const { keyValue } = this.#deps;
    if (!this.#entry.fresh) {
      for await (const [key, value] of keyValue.entries(piecePrefix(this.#entry.info.digest))) {
        this.pieces.load(chunkOfKey(key), value);
      }
    }
    this.#loaded = true;
  }

  async #writePiece(proof: PieceProof, bytes: Uint8Array): Promise<void> {
    const { index } = proof;
    const { records } = this.#deps;
    const entry = this.#entry;
    if (!(index >= 0 && index < entry.info.pieces) || bytes.length !== pieceLength(entry.info, index)) {
      throw this.#failed('not a piece of this blob', { index, length: bytes.length });
    }
    checkProof(proof);
    this.#openFile();
    if (this.#resetFailed) throw this.#failed('the blob could not be reset', { index });
    entry.synced = false;
    this.pieces.mark(proof);
    const recorded = records.record(entry);
    try {
      await this.#writeBytes(bytes, pieceOffset(entry.info, index));
    } catch (error) {
      this.pieces.lose(index);
      records.changed(entry);
      throw storeError(error, 'write a piece', { digest: entry.info.digest, index });
    }
    await recorded;
    this.pieces.hold(index);
    this.#trust?.pieces.set(index);
    entry.heldBytes = this.pieces.bytes;
    records.changed(entry);
    await this.#syncPace.wrote(bytes.length);
  }

  async #writeBytes(bytes: Uint8Array, offset: number): Promise<void> {
    const write = (): Promise<void> =>
      this.#trust === undefined
        ? Promise.reject(this.#failed('the blob is closed'))
        : this.#trust.during(() => this.#openFile().write(bytes, offset));
    try {
      await write();
    } catch (error) {
      const { digest, size } = this.#entry.info;
      const full = storeError(error, 'write a piece').code === 'STORE_FULL';
      if (!full || !(await this.#deps.makeRoom(size - this.#entry.heldBytes))) throw error;
      this.#deps.log.info({ digest }, 'the disk was full: made room');
      await write();
    }
  }

  /** Never rejects. */
  async #sync(): Promise<void> {
    try {
      await this.#file?.sync();
      await this.#deps.records.flush({ sync: true });
    } catch (error) {
      // What the system could not write it may have forgotten: nothing is trusted before it was read again.
      for (let index = 0; index < this.#entry.info.pieces; index++) this.#trust?.pieces.clear(index);
      const facts = { digest: this.#entry.info.digest, error: describeError(error) };
      this.#deps.log.warn(facts, 'a blob could not be synced');
    }
  }

  async #commit(): Promise<void> {
    const { disk, records, folder } = this.#deps;
    const entry = this.#entry;
    const { digest, size } = entry.info;
    await this.#openFile().sync();
    entry.synced = true;
    await records.complete(entry);
    entry.complete = true;
    entry.heldBytes = size;
    try {
      await disk.makeFolder(blobFolder(folder, digest));
      await this.#move(ingestPath(folder, digest), blobPath(folder, digest));
    } catch (error) {
      entry.complete = false;
      records.changed(entry);
      throw error;
    }
  }

  async #reset(): Promise<void> {
    const { records, folder } = this.#deps;
    const entry = this.#entry;
    this.#openFile();
    this.#resets++;
    this.pieces.clear();
    entry.heldBytes = 0;
    this.#resetFailed = true;
    await records.drop(entry);
    this.#resetFailed = false;
    const { digest } = entry.info;
    if (entry.complete) await this.#move(blobPath(folder, digest), ingestPath(folder, digest));
    entry.complete = false;
  }

  async #lose(index: number): Promise<void> {
    const { folder, records } = this.#deps;
    const entry = this.#entry;
    const { digest } = entry.info;
    if (this.#file === undefined || !this.pieces.have.has(index)) return;
    this.pieces.lose(index);
    entry.heldBytes = this.pieces.bytes;
    const wasComplete = entry.complete;
    entry.complete = false;
    // Should it not be recorded, the next start finds out again.
    records.changed(entry);
    await records.flush().catch(() => {});
    if (wasComplete) await this.#move(blobPath(folder, digest), ingestPath(folder, digest));
    this.#deps.lost(entry.info, index);
  }

  #forget(action: string, job: () => Promise<void>): Promise<void> {
    return this.#entry.inTurn(async () => {
      const done = Promise.withResolvers<void>();
      this.#forgetting = done.promise;
      try {
        await job();
      } catch (error) {
        throw storeError(error, action, { digest: this.#entry.info.digest });
      } finally {
        this.#forgetting = undefined;
        done.resolve();
      }
    });
  }

  #move(from: string, to: string): Promise<void> {
    const rename = (): Promise<void> => this.#deps.disk.rename(from, to);
    return this.#trust === undefined ? rename() : this.#trust.during(rename);
  }

  #openFile(): DiskFile {
    if (this.#file === undefined) throw this.#failed('the blob or the store is closed');
    return this.#file;
  }

  #failed(message: string, facts: Facts = {}): DamselflyError {
    return new DamselflyError('STORE_FAILED', message, { digest: this.#entry.info.digest, ...facts });
  }
}
