import { grown, SlotList } from './slots.ts';

export type PeerKind = 'node' | 'supernode';

const INITIAL_CAPACITY = 16;
/** More than any number of slots, so that every peer of the own zone comes first. */
const OTHER_ZONE = 1000;

/** What one node knows of the peers that it is connected to, struct of arrays; a peer is an index. */
export class Neighbours {
  readonly #slots = new SlotList();
  alive = new Uint8Array(INITIAL_CAPACITY);
  supernode = new Uint8Array(INITIAL_CAPACITY);
  sameZone = new Uint8Array(INITIAL_CAPACITY);
  /** Upload slots that it would give us now: last told, less what we asked since. */
  up = new Int32Array(INITIAL_CAPACITY);
  /** The most it ever told: how many it has in all, as far as we can see. */
  mostUp = new Int32Array(INITIAL_CAPACITY);
  /** It sent bytes that do not match their proof: never asked again. */
  banned = new Uint8Array(INITIAL_CAPACITY);
  /** Requests to it that are late now; above 0 it is suspect. */
  late = new Int32Array(INITIAL_CAPACITY);
  /** Failures in a row. */
  strikes = new Int32Array(INITIAL_CAPACITY);
  /** Not asked before this time, milliseconds. */
  blockedUntil = new Float64Array(INITIAL_CAPACITY);
  /** We told it that we wait for a slot; told again after this time, milliseconds. */
  waitsUntil = new Float64Array(INITIAL_CAPACITY);
  /** Uploads to it under way. */
  uploads = new Int32Array(INITIAL_CAPACITY);
  /** Upload slots kept for it, and since when (milliseconds). */
  kept = new Int32Array(INITIAL_CAPACITY);
  keptAt = new Float64Array(INITIAL_CAPACITY);

  /** All peers have an index below this. */
  get end(): number {
    return this.#slots.end;
  }

  add(kind: PeerKind, sameZone: boolean): number {
    const peer = this.#slots.take();
    if (peer === this.alive.length) this.#grow();
    this.alive[peer] = 1;
    this.supernode[peer] = kind === 'supernode' ? 1 : 0;
    this.sameZone[peer] = sameZone ? 1 : 0;
    for (const column of [this.up, this.mostUp, this.late, this.strikes, this.uploads, this.kept]) {
      column[peer] = 0;
    }
    this.banned[peer] = 0;
    this.waitsUntil[peer] = 0;
    this.blockedUntil[peer] = 0;
    return peer;
  }

  remove(peer: number): void {
    this.alive[peer] = 0;
    this.#slots.release(peer);
  }

  known(peer: number): boolean {
    return this.alive[peer] === 1;
  }

  /** Whether it may be asked for a piece now, as far as the peer itself goes. */
  askable(peer: number, now: number): boolean {
    return this.up[peer]! > 0 && this.trusted(peer, now);
  }

  /** Not banned, not suspect, not in a pause after a failure. */
  trusted(peer: number, now: number): boolean {
    return this.banned[peer] === 0 && this.late[peer] === 0 && now >= this.blockedUntil[peer]!;
  }

  /** Lower = rather ask this one: few of its slots are taken, and it is in our own zone. */
  score(peer: number): number {
    const taken = this.mostUp[peer]! - this.up[peer]!;
    return this.sameZone[peer] === 1 ? taken : taken + OTHER_ZONE;
  }

  #grow(): void {
    const size = this.alive.length * 2;
    this.alive = grown(this.alive, new Uint8Array(size));
    this.supernode = grown(this.supernode, new Uint8Array(size));
    this.sameZone = grown(this.sameZone, new Uint8Array(size));
    this.up = grown(this.up, new Int32Array(size));
    this.mostUp = grown(this.mostUp, new Int32Array(size));
    this.banned = grown(this.banned, new Uint8Array(size));
    this.late = grown(this.late, new Int32Array(size));
    this.strikes = grown(this.strikes, new Int32Array(size));
    this.blockedUntil = grown(this.blockedUntil, new Float64Array(size));
    this.waitsUntil = grown(this.waitsUntil, new Float64Array(size));
    this.uploads = grown(this.uploads, new Int32Array(size));
    this.kept = grown(this.kept, new Int32Array(size));
    this.keptAt = grown(this.keptAt, new Float64Array(size));
  }
}
