import { createRng } from '../../../lib/runtime/rng.ts';
import { Action, ActionBuffer } from '../../../lib/swarm/actions.ts';
import { SeedCore } from '../../../lib/swarm/seed-core.ts';
import { clockTimes, type Meter } from './meter.ts';

export const SEED_EVENTS = ['landed', 'peerHas', 'peerSlots', 'admit', 'uploaded', 'tick'] as const;
const [LANDED, HAS, SLOTS, ADMIT, UPLOADED, TICK] = SEED_EVENTS.keys();

/** About what the seed of a swarm of 10,000 looks after. */
const NEIGHBOURS = 90;
const ROUND_MS = 5.3;
const ROUNDS_PER_TICK = 20;

/** One supernode that gives out blobs as they come from the registry. */
export class SeedDrive {
  readonly #pieces: number;
  readonly #meter: Meter;
  readonly #core = new SeedCore({}, createRng(1));
  readonly #peers: readonly number[];
  readonly #offers = new ActionBuffer();
  #blob = -1;
  #now: number | undefined;
  /** Round -> its time, milliseconds. */
  #times: readonly (number | undefined)[] = [];

  constructor(pieces: number, meter: Meter) {
    this.#pieces = pieces;
    this.#meter = meter;
    this.#peers = Array.from({ length: NEIGHBOURS }, () => this.#core.addPeer(0));
  }

  prepare(): void {
    this.#now ??= 0.5;
    if (this.#blob >= 0) this.#core.removeBlob(this.#blob);
    this.#blob = this.#core.addBlob(this.#pieces);
    for (const peer of this.#peers) this.#core.peerShares(peer, this.#blob);
    this.#core.actions.clear();
    this.#times = clockTimes(this.#now, ROUND_MS, this.#pieces);
    this.#offers.clear();
  }

  /** Every round a piece lands, all offers are taken, and some neighbours tell their slots and what they hold. */
  run(): void {
    const core = this.#core;
    const meter = this.#meter;
    for (let round = 0; round < this.#pieces; round++) {
      this.#now = this.#times[round];
      meter.begin();
      core.landed(this.#blob, round, this.#now!);
      meter.end(LANDED!, 1);
      this.#act();
      for (let i = 0; i < this.#offers.length; i++) {
        const peer = this.#offers.peer[i]!;
        const piece = this.#offers.piece[i]!;
        meter.begin();
        const admitted = core.admit(peer, this.#blob, piece, this.#now!);
        meter.end(ADMIT!, 1);
        if (!admitted) continue;
        meter.begin();
        core.uploaded(peer, this.#now!);
        meter.end(UPLOADED!, 1);
        meter.begin();
        core.peerHas(peer, this.#blob, piece, this.#now!);
        meter.end(HAS!, 1);
        this.#act();
      }
      this.#offers.clear();
      meter.begin();
      for (let i = 0; i < 4; i++) {
        core.peerSlots(this.#peers[(round * 4 + i) % NEIGHBOURS]!, 1, 1, undefined, this.#now!);
      }
      meter.end(SLOTS!, 4);
      this.#act();
      if (round % ROUNDS_PER_TICK !== 0) continue;
      meter.begin();
      core.tick(this.#now!);
      meter.end(TICK!, 1);
      this.#act();
    }
  }

  #act(): void {
    const { actions } = this.#core;
    for (let i = 0; i < actions.length; i++) {
      if (actions.kind[i] !== Action.offer) continue;
      this.#offers.push(Action.offer, actions.peer[i]!, actions.blob[i]!, actions.piece[i]!, -1);
    }
    actions.clear();
  }
}
