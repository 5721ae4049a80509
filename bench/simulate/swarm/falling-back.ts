import { stepsIn } from '../../../lib/swarm/patience.ts';
import { pieceCount } from '../scenario.ts';
import type { World } from './world.ts';

export interface FallingBackHost {
  /** Reads one piece from the registry. */
  readFor(node: number, blob: number, piece: number): void;
  /** Nobody sends anything: the node asks the tracker for others. */
  stalled(node: number): void;
  /** The tracker can be reached, and has not answered the node yet. */
  owed(node: number): boolean;
  /** When it last did, milliseconds. */
  answeredAt(node: number): number;
}

/** Nodes to whom nobody sends anything. */
export class FallingBack {
  readonly #world: World;
  readonly #host: FallingBackHost;
  /** Node -> when it last got a piece, and how many it missed then. */
  readonly #progressAt: Float64Array;
  readonly #missing: Int32Array;
  readonly #pieces: number;

  constructor(world: World, host: FallingBackHost) {
    this.#world = world;
    this.#host = host;
    this.#progressAt = new Float64Array(world.scenario.nodes);
    this.#missing = new Int32Array(world.scenario.nodes);
    this.#pieces = pieceCount(world.scenario);
  }

  /** Every 100 ms: whether the node has waited too long. */
  tick(node: number): void {
    const { tally, wheel, startsAt } = this.#world;
    const missing = tally.missing[node]!;
    const { now } = wheel;
    if (now < startsAt[node]!) return;
    if (missing !== this.#missing[node]) {
      this.#missing[node] = missing;
      this.#progressAt[node] = now;
      return;
    }
    if (!this.#hasWaited(node)) return;
    this.#progressAt[node] = now;
    const core = this.#world.node(node);
    const found = this.#pieceToRead(node);
    if (found !== undefined && core.reserve(found.blob, found.piece)) {
      this.#host.readFor(node, found.blob, found.piece);
    }
    this.#host.stalled(node);
  }

  /** One that has nothing yet waits as if a seed were its neighbour, because it knows that there is one. */
  #hasWaited(node: number): boolean {
    const { links, scenario, startsAt, wheel, tally } = this.#world;
    let company = false;
    let seeded = false;
    for (let link = 0; link < links.count(node); link++) {
      const other = links.other(node, link);
      if (other >= 0) company = true;
      if (other >= scenario.nodes) seeded = true;
    }
    const waiting = {
      idleMs: wheel.now - Math.max(this.#progressAt[node]!, startsAt[node]!),
      company,
      patient: seeded || (company && tally.missing[node] === this.#pieces),
      owed: this.#host.owed(node),
      answeredMs: wheel.now - this.#host.answeredAt(node),
    };
    return stepsIn(waiting, 0);
  }

  /** Nodes that fall back together start at different places. */
  #pieceToRead(node: number): { blob: number; piece: number } | undefined {
    const core = this.#world.nodes[node]!;
    const { blobs } = this.#world.scenario;
    for (let blob = 0; blob < blobs.length; blob++) {
      const { pieces } = blobs[blob]!;
      const from = this.#world.rng.int(pieces);
      for (let i = 0; i < pieces; i++) {
        const piece = (from + i) % pieces;
        if (!core.has(blob, piece) && core.holders(blob, piece) === 0) return { blob, piece };
      }
    }
    return undefined;
  }
}
