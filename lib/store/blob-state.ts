import type { Bitfield } from '../core/bitfield.ts';
import { pieceHash } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import { type BlobInfo, pieceAt, pieceLength, pieceOffset } from '../core/geometry.ts';
import { type PieceProof, sameBytes } from '../core/proof.ts';
import type { Logger } from '../observe/log.ts';
import type { Disk, DiskFile } from './disk/disk.ts';
import type { KeyValue } from './key-value/key-value.ts';
import { blobFolder, blobPath, ingestPath } from './path.ts';
import { checkProof, createProofTable, PACKED_PROOF_BYTES, type ProofTable } from './proof-table.ts';
import { type BlobRecord, pieceIndex, piecePrefix } from './record.ts';
import type { Recordable, RecordWriter } from './record-writer.ts';
import { createSerial } from './serial.ts';
import { storeError } from './store-error.ts';

export interface BlobStateDeps {
  readonly disk: Disk;
  readonly keyValue: KeyValue;
  readonly records: RecordWriter;
  readonly log: Logger;
  readonly folder: string;
}

/**
 * One blob in the store, shared by everyone who has it open. Its file stays open from the first opener to the last.
 *
 * Order on disk, the reason why a crash never leaves a wrong byte: a piece is written before it is recorded; a blob is
 * synced, then recorded as complete, then renamed (a start finishes the rename); records are gone for good before
 * a file's content may become something else. What a power cut took from a partial blob that was not
 * synced is found by hashing its pieces when it is opened for the first time after a start.
 */
export class BlobState implements Recordable {
  readonly info: BlobInfo;
  readonly have: Bitfield;
  readonly unrecorded = new Set<number>();
  complete: boolean;
  synced: boolean;
  usedAtMs: number;
  openers = 0;
  /** Somebody asked for the removal, which happens when the last opener has closed. */
  removal: PromiseWithResolvers<void> | undefined;
  /** Leaving the store: too late to want it again. */
  dropping = false;
  /** No longer in the store: a new state takes its place. */
  dropped = false;

  readonly #deps: BlobStateDeps;
  /** Opening, committing, resetting and closing happen one after another. */
  readonly #serial = createSerial();
  readonly #writing = new Map<number, Promise<void>>();
  #path: string;
  #file: DiskFile | undefined;
  #proofs: ProofTable | undefined;
  #fresh: boolean;
  #checked: boolean;
  #resetting: Promise<void> | undefined;
  #resets = 0;
  /** Records may still tell of pieces that are forgotten: nothing may be written over those. */
  #resetFailed = false;

  /** @param fresh whether the blob is new, not found on disk at the start */
  constructor(deps: BlobStateDeps, record: BlobRecord, fresh: boolean) {
    this.#deps = deps;
    this.info = record.info;
    this.have = record.have;
    this.complete = record.complete;
    this.synced = record.synced;
    this.usedAtMs = record.usedAtMs;
    this.#path = (record.complete ? blobPath : ingestPath)(deps.folder, record.info.digest);
    this.#fresh = fresh;
    this.#checked = fresh || record.synced;
  }

  /** Verified bytes on disk. */
  get bytes(): number {
    const { pieces, pieceBytes } = this.info;
    const shortBy = this.have.has(pieces - 1) ? pieceBytes - pieceLength(this.info, pieces - 1) : 0;
    return this.have.count * pieceBytes - shortBy;
  }

  /** Call after counting an opener: afterwards the file is open, or the state is {@link dropped}. @throws STORE_* */
  ready(): Promise<void> {
    return this.#serial(async () => {
      if (this.dropped || this.#file !== undefined) return;
      try {
        if (await this.#intact()) await this.#open();
        else await this.#drop();
      } catch (error) {
        await this.#closeFile();
        throw storeError(error, 'open a blob', { digest: this.info.digest });
      }
    });
  }

  /** Call after an opener has gone: ends what only openers need. Never rejects, but tells a waiting removal. */
  idle(): Promise<void> {
    return this.#serial(async () => {
      await Promise.allSettled(this.#writing.values());
      if (this.openers > 0 || this.dropped) return;
      try {
        if (this.removal !== undefined || (this.have.count === 0 && !this.complete)) {
          await this.#drop();
          return;
        }
        if (!this.synced && this.#file !== undefined) await this.#settle(this.#file);
        await this.#closeFile();
      } catch (error) {
        const failure = storeError(error, 'close a blob', { digest: this.info.digest });
        this.#deps.log.warn(
          { digest: this.info.digest, error: describeError(failure) },
          'closing a blob failed',
        );
        this.removal?.reject(failure);
        this.removal = undefined;
        await this.#closeFile();
      }
    });
  }

  proof(index: number): PieceProof | undefined {
    return this.have.has(index) ? this.#proofs?.get(index) : undefined;
  }

  packedProof(index: number): Uint8Array {
    return this.#openProofs().packed(index);
  }

  /** @throws STORE_FULL, STORE_FAILED */
  async write(proof: PieceProof, bytes: Uint8Array): Promise<void> {
    while (this.#resetting !== undefined) await this.#resetting;
    const { index } = proof;
    if (this.have.has(index)) return;
    const underWay = this.#writing.get(index);
    if (underWay !== undefined) return underWay;
    const writing = this.#writePiece(proof, bytes).finally(() => this.#writing.delete(index));
    this.#writing.set(index, writing);
    return writing;
  }

  /** @throws STORE_FAILED */
  async read(offset: number, into: Uint8Array): Promise<void> {
    this.#checkReadable(offset, into.length);
    const resets = this.#resets;
    let readBytes: number;
    try {
      readBytes = await this.#openFile().read(into, offset);
    } catch (error) {
      throw storeError(error, 'read a blob', { digest: this.info.digest, offset });
    }
    if (resets !== this.#resets || readBytes !== into.length) {
      throw this.#failed('the blob changed while it was read', {
        offset,
        wanted: into.length,
        got: readBytes,
      });
    }
  }

  /** @throws STORE_FULL, STORE_FAILED */
  commit(): Promise<void> {
    return this.#serial(async () => {
      if (this.complete) return;
      if (!this.have.complete) throw this.#failed('only a blob with every piece can be committed');
      try {
        await this.#commit();
      } catch (error) {
        throw storeError(error, 'commit a blob', { digest: this.info.digest });
      }
    });
  }

  /** @throws STORE_FULL, STORE_FAILED */
  reset(): Promise<void> {
    return this.#serial(async () => {
      const done = Promise.withResolvers<void>();
      this.#resetting = done.promise;
      try {
        await Promise.allSettled(this.#writing.values());
        await this.#reset();
      } catch (error) {
        throw storeError(error, 'reset a blob', { digest: this.info.digest });
      } finally {
        this.#resetting = undefined;
        done.resolve();
      }
    });
  }

  /** Whether file and records are what we left; loads the proofs. */
  async #intact(): Promise<boolean> {
    const { disk, log } = this.#deps;
    const { digest, size } = this.info;
    if (!this.#fresh && (await disk.size(this.#path)) !== size) {
      log.warn({ digest }, 'the file of a blob is gone or was changed');
      return false;
    }
    // Kept from an earlier use when they could not be recorded at its end.
    const missing = this.#proofs === undefined ? await this.#loadProofs() : [];
    if (missing.length > 0) log.warn({ digest, pieces: missing.length }, 'some proofs of a blob are gone');
    if (missing.length > 0 && this.complete) return false;
    for (const index of missing) this.have.clear(index);
    return true;
  }

  async #open(): Promise<void> {
    const { disk } = this.#deps;
    this.#file = await disk.open(this.#path);
    if (this.#fresh) {
      await this.#file.truncate(this.info.size);
      this.#fresh = false;
    }
    if (this.#resetFailed) await this.#reset();
    if (!this.#checked) await this.#checkPieces(this.#file);
    if (this.info.pieces === 0 && !this.complete) await this.#commit();
  }

  /** @returns the pieces held whose proof is not recorded */
  async #loadProofs(): Promise<number[]> {
    const { pieces, digest } = this.info;
    const proofs = createProofTable(pieces);
    const missing = new Set<number>();
    if (this.have.count > 0) {
      for (let index = 0; index < pieces; index++) if (this.have.has(index)) missing.add(index);
      for await (const [key, packed] of this.#deps.keyValue.entries(piecePrefix(digest))) {
        const index = pieceIndex(key);
        if (packed.length === PACKED_PROOF_BYTES && missing.delete(index)) proofs.setPacked(index, packed);
      }
    }
    this.#proofs = proofs;
    return [...missing];
  }

  async #checkPieces(file: DiskFile): Promise<void> {
    const buffer = new Uint8Array(this.info.pieceBytes);
    let lost = 0;
    for (let index = 0; index < this.info.pieces; index++) {
      if (!this.have.has(index)) continue;
      const piece = buffer.subarray(0, pieceLength(this.info, index));
      const readBytes = await file.read(piece, pieceOffset(this.info, index)).catch(() => 0);
      const proof = this.#openProofs().get(index);
      if (readBytes === piece.length && sameBytes(pieceHash(piece), proof.hash)) continue;
      this.have.clear(index);
      lost++;
    }
    this.#checked = true;
    if (lost === 0) return;
    this.#deps.log.warn(
      { digest: this.info.digest, lost, kept: this.have.count },
      'pieces were lost in a crash',
    );
    this.#deps.records.changed(this, 0);
  }

  async #writePiece(proof: PieceProof, bytes: Uint8Array): Promise<void> {
    const { index } = proof;
    const { digest } = this.info;
    if (!(index >= 0 && index < this.info.pieces) || bytes.length !== pieceLength(this.info, index)) {
      throw this.#failed('not a piece of this blob', { index, length: bytes.length });
    }
    checkProof(proof);
    if (this.#resetFailed) throw this.#failed('the blob could not be reset', { index });
    try {
      await this.#openFile().write(bytes, pieceOffset(this.info, index));
    } catch (error) {
      throw storeError(error, 'write a piece', { digest, index });
    }
    this.#openProofs().set(proof);
    this.have.set(index);
    this.synced = false;
    this.unrecorded.add(index);
    this.#deps.records.changed(this, 1);
  }

  async #commit(): Promise<void> {
    const { disk, records, folder } = this.#deps;
    const { digest } = this.info;
    await this.#openFile().sync();
    this.synced = true;
    await records.complete(this);
    this.complete = true;
    try {
      await disk.makeFolder(blobFolder(folder, digest));
      await this.#moveTo(blobPath(folder, digest));
    } catch (error) {
      this.complete = false;
      records.changed(this, 0);
      throw error;
    }
  }

  async #reset(): Promise<void> {
    const { records, folder } = this.#deps;
    const wasComplete = this.complete;
    this.#openFile();
    this.#resets++;
    for (let index = 0; index < this.info.pieces; index++) this.have.clear(index);
    this.unrecorded.clear();
    this.complete = false;
    this.#resetFailed = true;
    await records.drop(this);
    this.#resetFailed = false;
    if (wasComplete) await this.#moveTo(ingestPath(folder, this.info.digest));
  }

  /** Spares the next start from hashing what is here. */
  async #settle(file: DiskFile): Promise<void> {
    const { records } = this.#deps;
    await file.sync();
    this.synced = true;
    records.changed(this, 0);
    await records.flush();
  }

  async #moveTo(path: string): Promise<void> {
    await this.#deps.disk.rename(this.#path, path);
    this.#path = path;
  }

  /** Records first: a file without a record is litter, a record without its file a lie. */
  async #drop(): Promise<void> {
    const { records, disk, log } = this.#deps;
    this.dropping = true;
    await records.drop(this).catch((error: unknown) => {
      this.dropping = false;
      throw error;
    });
    this.dropped = true;
    this.unrecorded.clear();
    await this.#closeFile();
    await disk.remove(this.#path).catch((error: unknown) => {
      log.warn({ path: this.#path, error: describeError(error) }, 'a file could not be removed');
    });
    this.removal?.resolve();
    this.removal = undefined;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (this.unrecorded.size === 0) this.#proofs = undefined;
    await file?.close().catch((error: unknown) => {
      this.#deps.log.warn({ path: this.#path, error: describeError(error) }, 'a file could not be closed');
    });
  }

  #checkReadable(offset: number, length: number): void {
    const end = offset + length;
    if (offset < 0 || end > this.info.size) throw this.#failed('the blob is shorter', { offset, length });
    if (length === 0) return;
    const last = pieceAt(this.info, end - 1);
    for (let index = pieceAt(this.info, offset); index <= last; index++) {
      if (!this.have.has(index)) throw this.#failed(`piece ${index} is not here`, { offset, length });
    }
  }

  #openFile(): DiskFile {
    if (this.#file === undefined) throw this.#failed('the blob or the store is closed');
    return this.#file;
  }

  #openProofs(): ProofTable {
    if (this.#proofs === undefined) throw this.#failed('the blob or the store is closed');
    return this.#proofs;
  }

  #failed(message: string, facts: Readonly<Record<string, number>> = {}): DamselflyError {
    return new DamselflyError('STORE_FAILED', message, { digest: this.info.digest, ...facts });
  }
}
