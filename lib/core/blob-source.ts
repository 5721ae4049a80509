import type { Digest } from './digest.ts';
import type { BlobOrigin } from './node.ts';
import type { ByteRange } from './range.ts';

/**
 * Where the registry proxy and the CLI get a blob's bytes. They know nothing of peers: the daemon's swarm is behind
 * it, or, over the daemon's socket, another process's swarm. Whoever calls has already checked the right to read.
 */
export interface BlobSource {
  /**
   * The bytes of `request.range` (default: all) in order, each verified before it is yielded. The last piece of a
   * whole blob is yielded only after the digest of the whole blob has matched. The memory of a chunk is the consumer's
   * only until it asks for the next one.
   * @throws DIGEST_MISMATCH, UPSTREAM_*, BLOB_UNKNOWN, ABORTED; also in the middle of the iteration
   */
  open(request: BlobRequest, options: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array>;
  /** A client that may read these blobs of one repository, which the manifest lists, is likely to ask for some next. */
  prepare?(requests: readonly BlobRequest[]): void;
  /**
   * Has somebody in the cluster whom peers believe ask the registry whether the caller may read this: once for the caller
   * and for the peers that are to give the blobs. Undefined when nobody there can, or the registry says no: whoever calls
   * asks it itself then. Takes less than a second, and never rejects but for ABORTED.
   */
  right?(subject: RightSubject, options: { readonly signal: AbortSignal }): Promise<Right | undefined>;
}

export interface RightSubject {
  readonly origin: BlobOrigin;
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
}

/** The registry said yes. */
export interface Right {
  /** The manifest, byte for byte, where that was asked for: verified against its digest. */
  readonly manifest?: { readonly bytes: Uint8Array; readonly mediaType: string };
  /** Of the blob, where that was asked for: bytes. */
  readonly size?: number;
}

export interface BlobRequest {
  readonly digest: Digest;
  /** Size of the whole blob in bytes, as the registry or the manifest told it. */
  readonly size: number;
  readonly origin: BlobOrigin;
  readonly range?: ByteRange;
  /**
   * What the range is to its reader: `rest` = the end of a blob whose beginning it has from elsewhere, so that the last
   * bytes wait for the digest as those of a whole blob do; `part` = just these bytes, and it stands still until it has
   * them. @default neither is known
   */
  readonly rangeIs?: 'rest' | 'part';
  /** A manifest that lists it: who may read that may read the blob, and asks for all that it lists at once. */
  readonly listedBy?: Digest | undefined;
  /** When its reader asked for it, on this process's clock. @default now */
  readonly askedMs?: number;
}
