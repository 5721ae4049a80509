import { createHash } from 'node:crypto';
import type { Clock } from '../lib/runtime/clock.ts';
import type { SharedTorrent } from '../lib/wire/bittorrent-messages.ts';

/** What a node shared outlives it for so long: clients finish among themselves, and a node that restarts is back. */
const OWNER_TTL_MS = 600_000;
/** Of all nodes together; about 300 bytes each. */
const MAX_TORRENTS = 100_000;

interface Owner {
  readonly shares: readonly SharedTorrent[];
  seenAtMs: number;
}

/** What standard BitTorrent clients may announce here: torrents that nodes of the cluster share, and nothing else. */
export class BittorrentShares {
  readonly #clock: Clock;
  readonly #ended: (infoHash: string) => void;
  readonly #maxTorrents: number;
  readonly #owners = new Map<string, Owner>();
  /** Hashes of passkeys by node, by torrent. */
  readonly #torrents = new Map<string, Map<string, string>>();

  /**
   * @param ended calls when nobody shares a torrent any more
   * @param options.maxTorrents of all nodes together. @default 100,000
   */
  constructor(
    { clock, ended }: { readonly clock: Clock; readonly ended: (infoHash: string) => void },
    options: { readonly maxTorrents?: number } = {},
  ) {
    this.#clock = clock;
    this.#ended = ended;
    this.#maxTorrents = options.maxTorrents ?? MAX_TORRENTS;
  }

  get size(): number {
    return this.#torrents.size;
  }

  /** Takes the place of all that the node shared before. @returns false when there is no room for so many */
  put(owner: string, shares: readonly SharedTorrent[]): boolean {
    this.expire();
    const before = this.#owners.get(owner)?.shares ?? [];
    const more = shares.filter(({ infoHash }) => !this.#torrents.has(infoHash)).length;
    if (more > 0 && this.#torrents.size + more > this.#maxTorrents) return false;
    const kept = new Set(shares.map(({ infoHash }) => infoHash));
    for (const { infoHash } of before) if (!kept.has(infoHash)) this.#remove(owner, infoHash);
    for (const { infoHash, passkeyHash } of shares) {
      const owners = this.#torrents.get(infoHash);
      if (owners === undefined) this.#torrents.set(infoHash, new Map([[owner, passkeyHash]]));
      else owners.set(owner, passkeyHash);
    }
    if (shares.length === 0) this.#owners.delete(owner);
    else this.#owners.set(owner, { shares, seenAtMs: this.#clock.now() });
    return true;
  }

  has(infoHash: string): boolean {
    return this.#torrents.has(infoHash);
  }

  /** Whether it is the passkey that a node made for this torrent. */
  opens(infoHash: string, passkey: string): boolean {
    const hashes = this.#torrents.get(infoHash);
    if (hashes === undefined || passkey === '') return false;
    return [...hashes.values()].includes(passkeyHashOf(passkey));
  }

  /** Forgets nodes that were not heard of for long. */
  expire(): void {
    const oldestMs = this.#clock.now() - OWNER_TTL_MS;
    for (const [owner, { seenAtMs, shares }] of this.#owners) {
      if (seenAtMs >= oldestMs) continue;
      this.#owners.delete(owner);
      for (const { infoHash } of shares) this.#remove(owner, infoHash);
    }
  }

  #remove(owner: string, infoHash: string): void {
    const owners = this.#torrents.get(infoHash);
    if (owners?.delete(owner) !== true || owners.size > 0) return;
    this.#torrents.delete(infoHash);
    this.#ended(infoHash);
  }
}

/** Only hashes are compared, so that how long that takes tells nothing of a passkey. */
function passkeyHashOf(passkey: string): string {
  return createHash('sha256').update(passkey).digest('hex');
}
