import type { Clock } from '../lib/runtime/clock.ts';
import type { Rng } from '../lib/runtime/rng.ts';

/** What clients are told to wait between announces (BEP 3 `interval`). */
export const ANNOUNCE_INTERVAL_MS = 120_000;
/** The same while nobody in the swarm has everything: who comes with it a moment later must not be waited for so long. */
const SEEDLESS_INTERVAL_MS = 15_000;
/** Two announces missed and some time for the network. */
const PEER_TTL_MS = 300_000;
/** About 350 bytes each: bounds what strangers can make a tracker hold. */
const MAX_PEERS = 200_000;
/** Most peers in one answer; a UDP answer then stays within 512 bytes (BEP 15). */
const MAX_NUMWANT = 82;

export const BITTORRENT_EVENTS = ['started', 'stopped', 'completed', 'update', 'paused'] as const;
export type BittorrentEvent = (typeof BITTORRENT_EVENTS)[number];

/** One client in one swarm. */
export interface BittorrentPeer {
  /** 40 hex digits. */
  readonly peerId: string;
  readonly ip: string;
  readonly port: number;
}

export interface BittorrentAnnounce {
  readonly infoHash: string;
  readonly peer: BittorrentPeer;
  readonly event: BittorrentEvent;
  /** It has everything. */
  readonly complete: boolean;
  /** Peers it would like; any number is allowed. */
  readonly numwant: number;
}

export interface BittorrentAnswer extends BittorrentCounts {
  /** Others in the swarm. */
  peers: BittorrentPeer[];
  /** So long the client should wait until it announces again, seconds. */
  interval: number;
}

export interface BittorrentCounts {
  complete: number;
  incomplete: number;
}

interface Entry extends BittorrentPeer {
  readonly swarm: Swarm;
  complete: boolean;
  /** Place in the swarm's array. */
  at: number;
  seenAtMs: number;
}

interface Swarm {
  readonly infoHash: string;
  readonly entries: Entry[];
  complete: number;
}

/**
 * The swarms of standard BitTorrent clients. They are kept apart from Damselfly's members, since neither side speaks
 * the other's peer protocol; clients choose among many peers themselves, so each gets a random window of its swarm.
 */
export class BittorrentSwarms {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #maxPeers: number;
  readonly #swarms = new Map<string, Swarm>();
  /** Oldest announce first: every announce moves its entry to the end. */
  readonly #entries = new Map<string, Entry>();

  /** @param options.maxPeers of all swarms together. @default 200,000 */
  constructor(
    deps: { readonly clock: Clock; readonly rng: Rng },
    options: { readonly maxPeers?: number } = {},
  ) {
    this.#clock = deps.clock;
    this.#rng = deps.rng;
    this.#maxPeers = options.maxPeers ?? MAX_PEERS;
  }

  get peers(): number {
    return this.#entries.size;
  }

  get swarms(): number {
    return this.#swarms.size;
  }

  /** @returns at most `numwant` others; undefined when there is no room for one more peer */
  announce(announce: BittorrentAnnounce): BittorrentAnswer | undefined {
    this.expire();
    const { infoHash, peer, event } = announce;
    // The address names the client, as in the swarm itself; a peer id is public and could be borrowed.
    const key = `${infoHash} ${peer.ip} ${peer.port}`;
    const known = this.#entries.get(key);
    if (known !== undefined) this.#remove(key, known);
    if (event === 'stopped') {
      return { ...this.counts(infoHash), peers: [], interval: ANNOUNCE_INTERVAL_MS / 1000 };
    }
    if (this.#entries.size >= this.#maxPeers) return undefined;
    const entry = this.#add(key, announce);
    const counts = this.counts(infoHash);
    const intervalMs = counts.complete === 0 ? SEEDLESS_INTERVAL_MS : ANNOUNCE_INTERVAL_MS;
    return { ...counts, peers: this.#window(entry, announce.numwant), interval: intervalMs / 1000 };
  }

  counts(infoHash: string): BittorrentCounts {
    const swarm = this.#swarms.get(infoHash);
    const complete = swarm?.complete ?? 0;
    return { complete, incomplete: (swarm?.entries.length ?? 0) - complete };
  }

  /** Forgets a swarm that nobody may know of any more. */
  forget(infoHash: string): void {
    for (const { ip, port } of [...(this.#swarms.get(infoHash)?.entries ?? [])]) {
      const key = `${infoHash} ${ip} ${port}`;
      const entry = this.#entries.get(key);
      if (entry !== undefined) this.#remove(key, entry);
    }
  }

  /** Forgets clients that did not come back; announcements do so themselves. */
  expire(): void {
    const oldestMs = this.#clock.now() - PEER_TTL_MS;
    for (const [key, entry] of this.#entries) {
      if (entry.seenAtMs >= oldestMs) return;
      this.#remove(key, entry);
    }
  }

  #add(key: string, { infoHash, peer, complete }: BittorrentAnnounce): Entry {
    let swarm = this.#swarms.get(infoHash);
    if (swarm === undefined) {
      swarm = { infoHash, entries: [], complete: 0 };
      this.#swarms.set(infoHash, swarm);
    }
    const entry = { ...peer, swarm, complete, at: swarm.entries.length, seenAtMs: this.#clock.now() };
    swarm.entries.push(entry);
    if (complete) swarm.complete++;
    this.#entries.set(key, entry);
    return entry;
  }

  #remove(key: string, entry: Entry): void {
    const { swarm } = entry;
    this.#entries.delete(key);
    const last = swarm.entries.pop();
    if (last !== undefined && last !== entry) {
      last.at = entry.at;
      swarm.entries[entry.at] = last;
    }
    if (entry.complete) swarm.complete--;
    if (swarm.entries.length === 0) this.#swarms.delete(swarm.infoHash);
  }

  #window(self: Entry, numwant: number): BittorrentPeer[] {
    const { entries } = self.swarm;
    const wanted = Math.min(Math.max(Math.floor(numwant) || 0, 0), MAX_NUMWANT, entries.length - 1);
    const peers: BittorrentPeer[] = [];
    for (let at = this.#rng.int(entries.length); peers.length < wanted; at = (at + 1) % entries.length) {
      const entry = entries[at];
      if (entry !== undefined && entry !== self) peers.push(entry);
    }
    return peers;
  }
}
