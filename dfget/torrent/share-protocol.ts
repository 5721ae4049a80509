/** What `dfget cache share` and the daemon say to each other over the daemon's socket. */

/** A piece of what is shared, in order: a blob of the store, or bytes of an archive between blobs. */
export type PartToShare =
  | { readonly digest: string; readonly size: number }
  /** Base64. */
  | { readonly bytes: string };

/** Body of `POST /v1/shares`. */
export interface ShareRequest {
  /** What was asked for: a digest or the full reference of an image. */
  readonly source: string;
  /** Name of the file that clients write. */
  readonly name: string;
  readonly parts: readonly PartToShare[];
  /** In the announce URL instead of one of its own. */
  readonly passkey?: string | undefined;
}

/** One torrent, in the answers of `GET` and `POST /v1/shares`. */
export interface Share {
  /** 40 hex digits: names the torrent. */
  readonly infoHash: string;
  readonly source: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 of the file, as a digest. */
  readonly digest: string;
  /** Announce URLs, with the passkey: a secret. */
  readonly announce: readonly string[];
  readonly magnet: string;
  /** The `.torrent` file, base64. */
  readonly torrent: string;
  /** Port that serves clients; null while none does. */
  readonly port: number | null;
  /** Whether a tracker of ours knows of it, and why not. */
  readonly announced: boolean;
  readonly problem: string | null;
  /** Bytes sent to clients since the daemon started. */
  readonly sentBytes: number;
}

/** Answer of `DELETE /v1/shares/<infoHash>`. */
export interface Unshared {
  readonly removed: boolean;
}
