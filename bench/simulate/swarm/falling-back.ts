import type { LeaseAnswer } from '../../../lib/core/lease.ts';
import type { PeerInfo } from '../../../lib/core/node.ts';
import { isSilent, seeksSupernode, stepsAside, stepsIn, type Waiting } from '../../../lib/swarm/patience.ts';
import { pieceCount } from '../scenario.ts';
import { type NodeBlob, type PastMode, type PastRead, PastSwarm, type PastSwarmHost } from './past-swarm.ts';
import type { World } from './world.ts';

/** As in the daemons' fallback: others of no use are changed no sooner than this again, milliseconds. */
const STALLED_AGAIN_MS = 2000;
/** After a look that found nothing to read. */
const LOOK_AGAIN_MS = 250;

export interface FallingBackHost extends Omit<PastSwarmHost, 'seeded' | 'seedGaveAt' | 'ended'> {
  /** May the node read one of these stripes? @returns undefined when no tracker answers */
  lease(node: number, of: NodeBlob, stripes: readonly number[], aside: boolean): LeaseAnswer | undefined;
  /** Those have, or are about to read, what the node lacks. */
  introduce(node: number, others: readonly PeerInfo[]): void;
  /** Nobody sends anything: the node asks the tracker for others. */
  stalled(node: number): void;
  /** The tracker can be reached, and has not answered the node yet. */
  owed(node: number): boolean;
  /** When it last did, milliseconds. */
  answeredAt(node: number): number;
}

/** Nodes to whom nobody sends anything. They read under leases of the tracker, as daemons do. */
export class FallingBack {
  readonly #world: World;
  readonly #host: FallingBackHost;
  readonly #past: PastSwarm;
  /** Node -> when it last got a piece, and how many it missed then. */
  readonly #progressAt: Float64Array;
  readonly #missing: Int32Array;
  /** Node -> when it looks again, when it last told the tracker, and when it first read past a seed that was slow. */
  readonly #notBefore: Float64Array;
  readonly #toldAt: Float64Array;
  readonly #asideAt: Float64Array;
  readonly #pieces: number;

  constructor(world: World, host: FallingBackHost) {
    this.#world = world;
    this.#host = host;
    const { nodes } = world.scenario;
    const never = (): Float64Array => new Float64Array(nodes).fill(Number.NEGATIVE_INFINITY);
    this.#progressAt = new Float64Array(nodes);
    this.#missing = new Int32Array(nodes);
    this.#notBefore = never();
    this.#toldAt = never();
    this.#asideAt = never();
    this.#pieces = pieceCount(world.scenario);
    this.#past = new PastSwarm(world, {
      readFor: (node, blob, piece, asks) => host.readFor(node, blob, piece, asks),
      renewLease: (node, token) => host.renewLease(node, token),
      releaseLease: (node, token, read) => host.releaseLease(node, token, read),
      seeded: (node) => this.#linked(node).seeded,
      seedGaveAt: (node) => world.seedGaveAt[node]!,
      ended: (read, moved) => this.#ended(read, moved),
    });
  }

  /** What a node read for itself is there. */
  landed(node: number): void {
    this.#past.landed(node);
  }

  /** Every 50 ms: whether the node has waited too long. */
  tick(node: number): void {
    const { tally, wheel, startsAt } = this.#world;
    const missing = tally.missing[node]!;
    const { now } = wheel;
    if (now < startsAt[node]!) return;
    if (missing !== this.#missing[node]) {
      this.#missing[node] = missing;
      this.#progressAt[node] = now;
    }
    if (this.#past.isReading(node)) {
      this.#past.tick(node);
      return;
    }
    if (now < this.#notBefore[node]!) return;
    const waiting = this.#waiting(node);
    if (!stepsIn(waiting, 0)) {
      if (seeksSupernode(waiting, 0)) this.#tell(node);
      return;
    }
    const { seeded } = this.#linked(node);
    const young = waiting.company && missing === this.#pieces && !waiting.owed;
    const slow = (seeded || young) && !this.#isSilent(node);
    this.#ask(node, slow ? 'aside' : 'lease', waiting, undefined);
    this.#tell(node);
  }

  /** The tracker hears that the neighbours are of no use, not again and again. */
  #tell(node: number): void {
    const { now } = this.#world.wheel;
    if (now - this.#toldAt[node]! < STALLED_AGAIN_MS) return;
    this.#toldAt[node] = now;
    this.#host.stalled(node);
  }

  /** Asks for a lease, and reads. @param before what the node has just read past the swarm */
  #ask(node: number, wanted: PastMode, waiting: Waiting, before: PastRead | undefined): void {
    const { now } = this.#world.wheel;
    for (let mode = wanted; ; mode = 'aside') {
      const found = this.#lacked(node, mode);
      if (found === undefined) {
        this.#notBefore[node] = now + LOOK_AGAIN_MS;
        return;
      }
      const answer = this.#host.lease(node, found.of, found.stripes, mode === 'aside');
      if (answer === undefined) {
        this.#alone(node);
        return;
      }
      if (answer.kind === 'granted') {
        if (mode === 'aside') this.#noteAside(node);
        const first = before === undefined;
        this.#past.begin({
          of: found.of,
          lease: answer,
          mode,
          first,
          wanted,
          sinceMs: before?.sinceMs ?? now,
        });
        return;
      }
      this.#host.introduce(node, answer.holders);
      if (mode === 'aside' || !(this.#isSilent(node) || stepsAside(waiting))) {
        this.#notBefore[node] = now + answer.retryMs;
        return;
      }
    }
  }

  /** A blob of which there is something to read, and its stripes. */
  #lacked(
    node: number,
    mode: PastMode,
  ): { readonly of: NodeBlob; readonly stripes: readonly number[] } | undefined {
    for (let blob = 0; blob < this.#world.scenario.blobs.length; blob++) {
      const of = this.#past.lacking(node, blob);
      const stripes = this.#past.stripes(of, mode);
      if (stripes.length > 0) return { of, stripes };
    }
    return undefined;
  }

  /** From here on one node reads for all that wait, unless it was only to be helped along. */
  #ended(read: PastRead, moved: boolean): void {
    const { node } = read.of;
    const { tally, wheel } = this.#world;
    this.#notBefore[node] = wheel.now + LOOK_AGAIN_MS;
    if (!moved || read.wanted === 'aside' || tally.missing[node] === 0) return;
    if (this.#world.seedGaveAt[node]! <= read.sinceMs) this.#ask(node, 'lease', this.#waiting(node), read);
  }

  /** No tracker answers: the node reads one piece, and waits again. */
  #alone(node: number): void {
    const core = this.#world.node(node);
    const found = this.#pieceToRead(node);
    this.#progressAt[node] = this.#world.wheel.now;
    if (found !== undefined && core.reserve(found.blob, found.piece)) {
      this.#host.readFor(node, found.blob, found.piece, true);
    }
  }

  #linked(node: number): { readonly company: boolean; readonly seeded: boolean } {
    const { links, scenario } = this.#world;
    let company = false;
    for (let link = 0; link < links.count(node); link++) {
      const other = links.other(node, link);
      if (other >= scenario.nodes) return { company: true, seeded: true };
      if (other >= 0) company = true;
    }
    return { company, seeded: false };
  }

  /** One that has nothing yet waits as if a seed were its neighbour, because it knows that there is one. */
  #waiting(node: number): Waiting {
    const { startsAt, wheel, tally } = this.#world;
    const { company, seeded } = this.#linked(node);
    const young = company && tally.missing[node] === this.#pieces;
    return {
      idleMs: wheel.now - Math.max(this.#progressAt[node]!, startsAt[node]!),
      company,
      patient: (seeded || young) && !this.#isSilent(node),
      owed: this.#host.owed(node),
      answeredMs: wheel.now - this.#host.answeredAt(node),
    };
  }

  /** When a neighbour last gave it something. */
  #movedAt(node: number): number {
    const core = this.#world.nodes[node]!;
    return this.#world.scenario.blobs.reduce(
      (last, _, blob) => Math.max(last, core.progressedAt(blob)),
      Number.NEGATIVE_INFINITY,
    );
  }

  #isSilent(node: number): boolean {
    const movedAt = this.#movedAt(node);
    const asideAt = this.#asideAt[node]!;
    return movedAt < asideAt && isSilent(this.#world.wheel.now, asideAt, movedAt);
  }

  #noteAside(node: number): void {
    if (this.#movedAt(node) >= this.#asideAt[node]!) this.#asideAt[node] = this.#world.wheel.now;
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
