import { Bitfield } from '../core/bitfield.ts';
import { DamselflyError } from '../core/errors.ts';
import { type BlobInfo, pieceAt } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';
import type { DiskFile } from './disk/disk.ts';
import { clearAll } from './held-pieces.ts';
import type { StoredBlob } from './store.ts';
import { storeError } from './store-error.ts';
import type { VerifiedFile } from './verified-file.ts';

/** One opener's view of another program's file: whole, or, once it is not what it was, nothing. */
export class BorrowedBlob implements StoredBlob {
  readonly info: BlobInfo;
  readonly have: Bitfield;
  readonly borrowed = true;
  readonly #file: DiskFile;
  readonly #verified: VerifiedFile;
  readonly #lost: (index: number) => void;
  #closing: Promise<void> | undefined;

  /** @param lost called once, when the file is not what it was: with the piece at which that was seen */
  constructor(info: BlobInfo, file: DiskFile, verified: VerifiedFile, lost: (index: number) => void) {
    this.info = info;
    this.have = new Bitfield(info.pieces);
    this.have.setAll();
    this.#file = file;
    this.#verified = verified;
    this.#lost = lost;
  }

  get complete(): boolean {
    return this.have.complete;
  }

  proof(index: number): PieceProof | undefined {
    return this.have.has(index) ? this.#verified.proof(index) : undefined;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const { digest, size } = this.info;
    if (offset < 0 || offset + into.length > size) {
      throw new DamselflyError('STORE_FAILED', 'the blob is shorter', { digest, offset });
    }
    const index = Math.min(pieceAt(this.info, offset), this.info.pieces - 1);
    // Closed, it may be open elsewhere in another file: whoever reads it begins anew.
    if (!this.complete || this.#closing !== undefined) throw this.#mismatch(index);
    let readBytes: number;
    let stamp: string;
    try {
      readBytes = await this.#file.read(into, offset);
      stamp = this.#closing === undefined ? this.#file.stamp() : '';
    } catch (error) {
      throw storeError(error, 'read a borrowed blob', { digest, offset });
    }
    // What was read before the file changed, if it did, was verified.
    if (readBytes === into.length && stamp === this.#verified.stamp) return;
    if (this.#closing === undefined && this.complete) {
      clearAll(this.have);
      this.#lost(index);
    }
    throw this.#mismatch(index);
  }

  expect(): void {}

  /** Nothing is missing, or the file is not ours to mend. */
  async write({ index }: PieceProof): Promise<void> {
    if (!this.have.has(index)) throw this.#readOnly();
  }

  async commit(): Promise<void> {
    if (!this.complete) throw this.#readOnly();
  }

  async reset(): Promise<void> {
    throw this.#readOnly();
  }

  close(): Promise<void> {
    this.#closing ??= this.#file.close();
    return this.#closing;
  }

  #mismatch(index: number): DamselflyError {
    const { digest } = this.info;
    return new DamselflyError('PIECE_MISMATCH', 'a borrowed blob is not what it was', { digest, index });
  }

  #readOnly(): DamselflyError {
    const { digest } = this.info;
    return new DamselflyError('STORE_READ_ONLY', 'a borrowed blob is only read', { digest });
  }
}
