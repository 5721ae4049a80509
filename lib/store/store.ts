import type { Bitfield } from '../core/bitfield.ts';
import type { Digest } from '../core/digest.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';

/**
 * Content-addressed blobs on this machine, piece by piece. What is in the store is verified or absent: callers verify
 * before they write, a restart finds again every piece that was written, and what was changed on disk is not read.
 */
export interface BlobStore {
  /** The blob if any of it is here; the caller closes it. Counts as a use. */
  open(digest: Digest): Promise<StoredBlob | undefined>;
  /**
   * The blob, created empty when absent. Concurrent openers share one state.
   * @throws STORE_FULL, STORE_FAILED, STORE_READ_ONLY
   */
  create(info: BlobInfo): Promise<StoredBlob>;
  /** Removes the blob once the last opener has closed it. @returns whether it was here */
  remove(digest: Digest): Promise<boolean>;
  get(digest: Digest): BlobSummary | undefined;
  list(): readonly BlobSummary[];
  /** A pinned blob goes only when it is removed by name; survives a restart. @returns whether it is here */
  pin(digest: Digest): Promise<boolean>;
  unpin(digest: Digest): Promise<boolean>;
  /** Removes at once what the collector would remove: by age and by the high and low marks, nothing that is in use. */
  gc(): Promise<CollectReport>;
  /** Holds every piece of the blob against its proof; those that do not match are gone. Undefined when it is not here. */
  verify(digest: Digest): Promise<VerifyReport | undefined>;
  /**
   * A copy of a complete blob, verified, that has nothing in common with the cache: blocks are shared where the file
   * system can copy on write. Replaces what is at `path`.
   * @throws BLOB_UNKNOWN when it is not here or not complete; PIECE_MISMATCH, STORE_*
   */
  export(digest: Digest, path: string): Promise<void>;
  /** Tells of each piece that was here and turned out wrong: it is gone when this is called. */
  onLoss(listener: (info: BlobInfo, index: number) => void): void;
  /** Waits for writes under way; the store is then clean on disk. A second close is harmless. */
  close(): Promise<void>;
}

export interface BlobSummary {
  readonly info: BlobInfo;
  /** Verified bytes on disk. */
  readonly bytes: number;
  /** The whole digest has matched and the blob is committed. */
  readonly complete: boolean;
  readonly pinned: boolean;
  /** Last use, milliseconds since the epoch. */
  readonly usedAtMs: number;
  /** It is another program's file, which we only read: it takes no room of ours. @default false */
  readonly borrowed?: boolean;
}

export interface CollectReport {
  readonly removed: readonly Digest[];
  readonly freedBytes: number;
}

export interface VerifyReport {
  readonly pieces: number;
  /** Of those, how many did not match. */
  readonly lost: number;
}

/** One blob, shared by everyone who has it open. */
export interface StoredBlob {
  readonly info: BlobInfo;
  /** Pieces that can be read now. Do not modify. */
  readonly have: Bitfield;
  readonly complete: boolean;
  /** Another program's file, only read: when it is not what it was, all of the blob is gone. @default false */
  readonly borrowed?: boolean;
  /** The proof a held piece was verified with. */
  proof(index: number): PieceProof | undefined;
  /**
   * A piece that will match this proof is on its way: its proof is recorded with those of others, which is cheaper than
   * by itself when the piece is written. It need never come.
   * @throws STORE_FAILED when it is no proof of a piece of this blob
   */
  expect(proof: PieceProof): void;
  /**
   * Writes a piece that the caller has verified, with its proof; afterwards `have` includes it, and the piece outlives
   * the process however that ends. `bytes` may be reused once the promise has settled. Writing a piece twice is
   * harmless.
   * @throws STORE_FULL when there is no room even without the blobs that nobody uses; STORE_FAILED, STORE_READ_ONLY
   */
  write(proof: PieceProof, bytes: Uint8Array): Promise<void>;
  /**
   * Fills `into` from byte `offset` on; all of it must lie in held pieces.
   * @throws PIECE_MISMATCH when a piece on disk is not what was written: it is gone then; STORE_FAILED
   */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Makes a blob whose every piece is held and whose digest the caller has checked permanent. Atomic. */
  commit(): Promise<void>;
  /** Forgets every piece (their bytes turned out wrong as a whole). */
  reset(): Promise<void>;
  /** Ends this opener's use. A second call is harmless. */
  close(): Promise<void>;
}
