import { DamselflyError, type Facts } from '../core/errors.ts';
import { pieceAt } from '../core/geometry.ts';
import type { Logger } from '../observe/log.ts';
import type { DiskFile } from './disk/disk.ts';
import type { HeldPieces } from './held-pieces.ts';
import type { PieceHasher } from './piece-hasher.ts';
import { storeError } from './store-error.ts';
import type { Trust } from './trust.ts';

/** A file that changes each time it is read is of no use. */
const READ_ATTEMPTS = 3;

export interface VerifiedFile {
  /** @throws STORE_FAILED when it is closed */
  file(): DiskFile;
  trust(): Trust | undefined;
  /** The piece is not what it was: it is not held any more when the promise resolves. */
  lose(index: number): Promise<void>;
}

/** Reads of one blob's file that give no byte of a piece before the piece was seen to match its proof. */
export class VerifiedReads {
  readonly #deps: { readonly hasher: PieceHasher; readonly log: Logger };
  readonly #pieces: HeldPieces;
  readonly #host: VerifiedFile;
  readonly #verifying = new Map<number, Promise<void>>();

  constructor(
    deps: { readonly hasher: PieceHasher; readonly log: Logger },
    pieces: HeldPieces,
    host: VerifiedFile,
  ) {
    this.#deps = deps;
    this.#pieces = pieces;
    this.#host = host;
  }

  /** @throws PIECE_MISMATCH when a piece is not what it was, and gone now; STORE_* */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      await this.verify(offset, into.length);
      let readBytes: number;
      try {
        readBytes = await this.#host.file().read(into, offset);
      } catch (error) {
        throw storeError(error, 'read a blob', { digest: this.#pieces.info.digest, offset });
      }
      // What was read before the file changed, if it did, was verified.
      this.#host.trust()?.look();
      if (readBytes === into.length && this.#untrusted(offset, into.length) === undefined) return;
    }
    throw this.#failed('the file changes while it is read', { offset, wanted: into.length });
  }

  /** Sees to it that every piece of the range was seen to match. @throws as {@link read} */
  async verify(offset: number, length: number): Promise<void> {
    this.#checkReadable(offset, length);
    for (let at = this.#untrusted(offset, length); at !== undefined; ) {
      await this.#verify(at);
      const next = this.#untrusted(offset, length);
      // Untrusted again at once: others write to the file, and the reader will notice.
      at = next === at ? undefined : next;
    }
  }

  /** Holds a piece against its proof, whatever is known of it. @returns whether it matched or is not held */
  async recheck(index: number): Promise<boolean> {
    if (!this.#pieces.have.has(index)) return true;
    this.#host.trust()?.pieces.clear(index);
    try {
      await this.#verify(index);
      return true;
    } catch (error) {
      if (error instanceof DamselflyError && error.code === 'PIECE_MISMATCH') return false;
      throw error;
    }
  }

  /** First piece of the range that was not yet seen to match its proof. */
  #untrusted(offset: number, length: number): number | undefined {
    if (length === 0) return undefined;
    const { info } = this.#pieces;
    const trusted = this.#host.trust()?.pieces;
    const last = pieceAt(info, offset + length - 1);
    for (let index = pieceAt(info, offset); index <= last; index++) {
      if (trusted?.has(index) !== true) return index;
    }
    return undefined;
  }

  #verify(index: number): Promise<void> {
    const underWay = this.#verifying.get(index);
    if (underWay !== undefined) return underWay;
    const verifying = this.#verifyPiece(index).finally(() => this.#verifying.delete(index));
    this.#verifying.set(index, verifying);
    return verifying;
  }

  async #verifyPiece(index: number): Promise<void> {
    const { hasher, log } = this.#deps;
    const { have, info } = this.#pieces;
    const { digest } = info;
    if (!have.has(index)) throw this.#failed(`piece ${index} is not here`, { index });
    let matches: boolean;
    try {
      this.#host.trust()?.look();
      matches = await hasher.matches(this.#host.file(), info, this.#pieces.proof(index));
    } catch (error) {
      throw storeError(error, 'read a blob', { digest, index });
    }
    if (matches) {
      this.#host.trust()?.pieces.set(index);
      return;
    }
    log.warn({ digest, index }, 'a piece on disk is not what it was: dropped');
    await this.#host.lose(index);
    throw new DamselflyError('PIECE_MISMATCH', `piece ${index} on disk is not what it was`, {
      digest,
      index,
    });
  }

  #checkReadable(offset: number, length: number): void {
    const { have, info } = this.#pieces;
    const end = offset + length;
    if (offset < 0 || end > info.size) throw this.#failed('the blob is shorter', { offset, length });
    if (length === 0) return;
    const last = pieceAt(info, end - 1);
    for (let index = pieceAt(info, offset); index <= last; index++) {
      if (!have.has(index)) throw this.#failed(`piece ${index} is not here`, { offset, length });
    }
  }

  #failed(message: string, facts: Facts): DamselflyError {
    return new DamselflyError('STORE_FAILED', message, { digest: this.#pieces.info.digest, ...facts });
  }
}
