import { SlotList } from './slots.ts';

export type PeerKind = 'node' | 'supernode';

/** So much that every peer of the own zone comes first. */
const OTHER_ZONE = 1e6;
/** Equal peers differ by less from moment to moment, and should share the load equally. */
const NOTABLY_SLOW = 2;

/**
 * What one node knows of a peer that it is connected to. An object for each and not columns: every message touches most
 * of these fields of one peer, and they should lie side by side in memory.
 */
export class Neighbour {
  readonly supernode: boolean;
  readonly sameZone: boolean;
  /** Upload slots that it would give us now: last told, less what we asked since. */
  up = 0;
  /** The most it ever told: how many it has in all, as far as we can see. */
  mostUp = 0;
  /** It sent bytes that do not match their proof: never asked again. */
  banned = false;
  /** Requests to it that are late now; above 0 it is suspect. */
  late = 0;
  /** How long it takes for a piece, as a multiple of what is usual. */
  slowness = 1;
  /** Failures in a row. */
  strikes = 0;
  /** We told it that we wait for a slot, and it has not told one since. */
  waits = false;
  /** Uploads to it under way. */
  uploads = 0;
  /** Upload slots kept for it. */
  kept = 0;
  /** Since when they are kept, milliseconds. */
  keptAt = 0;
  /** Not asked before this time, milliseconds. */
  blockedUntil = 0;
  /** Told again after this time that we wait, milliseconds. */
  waitsUntil = 0;

  constructor(kind: PeerKind, sameZone: boolean) {
    this.supernode = kind === 'supernode';
    this.sameZone = sameZone;
  }

  /** Not banned, not suspect, not in a pause after a failure. */
  trusted(now: number): boolean {
    return !this.banned && this.late === 0 && now >= this.blockedUntil;
  }

  /** It knows, or is about to be told, that we wait for a slot of it. */
  waitUntil(time: number): void {
    this.waits = true;
    this.waitsUntil = time;
  }

  /** Lower = rather ask this one: in our own zone, few of its slots are taken, not slow. */
  get score(): number {
    const taken = this.mostUp - this.up + 1;
    const score = this.slowness > NOTABLY_SLOW ? taken * this.slowness : taken;
    return this.sameZone ? score : score * OTHER_ZONE;
  }
}

/** The peers that one node is connected to, by number. */
export class Neighbours {
  readonly #slots = new SlotList();
  readonly #peers: (Neighbour | undefined)[] = [];

  add(kind: PeerKind, sameZone: boolean): number {
    const peer = this.#slots.take();
    this.#peers[peer] = new Neighbour(kind, sameZone);
    return peer;
  }

  remove(peer: number): void {
    this.#peers[peer] = undefined;
    this.#slots.release(peer);
  }

  get(peer: number): Neighbour | undefined {
    return this.#peers[peer];
  }

  /** Of a peer that is known to be there. */
  at(peer: number): Neighbour {
    return this.#peers[peer]!;
  }

  all(): readonly (Neighbour | undefined)[] {
    return this.#peers;
  }
}
