/** What a node tells trackers that standard BitTorrent clients may share, over HTTPS on the tracker's public port. */

/** `PUT {owner, shares}` with a member's certificate: all that it shares now. Again every {@link SHARES_EVERY_MS}. */
export const SHARES_PATH = '/v1/bittorrent/shares';
/** Where clients announce: `/announce/PASSKEY`. */
export const ANNOUNCE_PATH = '/announce';
/** Trackers keep nothing on disk: an empty one knows everything again so soon. */
export const SHARES_EVERY_MS = 10_000;
/** Of one node. */
export const MAX_SHARES = 1000;

/** One torrent that clients may announce. */
export interface SharedTorrent {
  /** 40 hex digits. */
  readonly infoHash: string;
  /** SHA-256 of the passkey in its announce URL, 64 hex digits; a tracker needs no more to know it. */
  readonly passkeyHash: string;
}

/** The body of the request. */
export interface SharesMessage {
  /** Id of the node, 40 hex digits: where identities count, that of its certificate. */
  readonly owner: string;
  readonly shares: readonly SharedTorrent[];
}
