import type { Bitfield } from '../core/bitfield.ts';
import type { Digest } from '../core/digest.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';

/**
 * Content-addressed blobs on this machine, piece by piece. What is in the store is verified or absent: callers verify
 * before they write, and a restart finds again every piece that was written and recorded.
 */
export interface BlobStore {
  /** The blob if any of it is here; the caller closes it. Counts as a use. */
  open(digest: Digest): Promise<StoredBlob | undefined>;
  /**
   * The blob, created empty when absent. Concurrent openers share one state.
   * @throws STORE_FULL, STORE_FAILED
   */
  create(info: BlobInfo): Promise<StoredBlob>;
  /** Removes the blob once the last opener has closed it. @returns whether it was here */
  remove(digest: Digest): Promise<boolean>;
  list(): readonly BlobSummary[];
  /** Waits for writes under way; the store is then clean on disk. A second close is harmless. */
  close(): Promise<void>;
}

export interface BlobSummary {
  readonly info: BlobInfo;
  /** Verified bytes on disk. */
  readonly bytes: number;
  /** The whole digest has matched and the blob is committed. */
  readonly complete: boolean;
  /** Last use, milliseconds since the epoch. */
  readonly usedAtMs: number;
}

/** One blob, shared by everyone who has it open. */
export interface StoredBlob {
  readonly info: BlobInfo;
  /** Pieces that can be read now. Do not modify. */
  readonly have: Bitfield;
  readonly complete: boolean;
  /** The proof a held piece was verified with. */
  proof(index: number): PieceProof | undefined;
  /**
   * Writes a piece that the caller has verified, with its proof; afterwards `have` includes it. `bytes` may be reused
   * once the promise has settled. Writing a piece twice is harmless.
   * @throws STORE_FULL, STORE_FAILED
   */
  write(proof: PieceProof, bytes: Uint8Array): Promise<void>;
  /** Fills `into` from byte `offset` on; all of it must lie in held pieces. @throws STORE_FAILED */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Makes a blob whose every piece is held and whose digest the caller has checked permanent. Atomic. */
  commit(): Promise<void>;
  /** Forgets every piece (their bytes turned out wrong as a whole). */
  reset(): Promise<void>;
  /** Ends this opener's use. A second call is harmless. */
  close(): Promise<void>;
}
