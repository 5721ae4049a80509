import type { KeyObject } from 'node:crypto';
import { isPasskeyInForce, keysOfAuthorities } from '../lib/security/announce-passkey.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import type { BittorrentShares } from './bittorrent-shares.ts';

/** Said of a torrent that nobody shares and of a passkey that does not fit alike: neither can be found out. */
export const NOT_SHARED = 'not shared here, or the passkey in the announce URL is not for it';

export interface AnnounceGateDeps {
  readonly shares: BittorrentShares;
  readonly credentials?: Credentials | undefined;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** Decides which BitTorrent clients may know of which torrents. */
export class AnnounceGate {
  readonly #deps: AnnounceGateDeps;
  #authorities: { readonly pem: string; readonly keys: readonly KeyObject[] } = { pem: '', keys: [] };

  constructor(deps: AnnounceGateDeps) {
    this.#deps = deps;
  }

  /** Over HTTP, with a passkey: that of the share, or one that the cluster's authority has signed. */
  admits(infoHash: string, passkey: string): boolean {
    const { credentials, shares, wallClockMs } = this.#deps;
    if (!shares.has(infoHash)) return false;
    if (shares.opens(infoHash, passkey)) return true;
    if (credentials === undefined) return false;
    return isPasskeyInForce(passkey, {
      authorities: this.#keysOf(credentials),
      clusterTimeMs: wallClockMs(),
      revoked: credentials.revoked.serials,
    });
  }

  #keysOf({ keys }: Credentials): readonly KeyObject[] {
    const pem = keys.ca.toString();
    if (pem !== this.#authorities.pem) this.#authorities = { pem, keys: keysOfAuthorities(pem) };
    return this.#authorities.keys;
  }
}

/** `/announce/PASSKEY` or `/scrape/PASSKEY`; the passkey is empty when there is none. Undefined for other paths. */
export function readAnnouncePath(
  path: string,
): { readonly action: 'announce' | 'scrape'; readonly passkey: string } | undefined {
  const [, action, passkey = ''] = /^\/(announce|scrape)(?:\/([\w.-]{1,160}))?$/.exec(path) ?? [];
  return action === 'announce' || action === 'scrape' ? { action, passkey } : undefined;
}
