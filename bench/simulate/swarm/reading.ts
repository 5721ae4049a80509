import { LISTEN_MS, ReadingPlan, type Run } from '../../../lib/swarm/reading-plan.ts';
import { turnOf } from './turn-of.ts';
import type { World } from './world.ts';

/** Whom the reader asks about the cluster. */
export interface ReadingHost {
  /** Seeds that own the blob now, as that one knows it. */
  owners(seed: number, blob: number): readonly number[];
  /** Turn -> the seed that reads in it now, as that one knows it. */
  turns(seed: number, blob: number): readonly number[];
  /** Seeds of other sites that hold the piece, and can be asked. */
  holders(seed: number, blob: number, piece: number): number;
  /** Whether a seed of another site that can be reached brings the blob from that one, and lacks the piece. */
  awaited(seed: number, blob: number, piece: number): boolean;
  /** A piece is at a seed. */
  landed(seed: number, blob: number): void;
  /** What a node read for itself is there. */
  readByNode(node: number): void;
  act(end: number): void;
}

/** A read of one piece from the registry. */
interface Read {
  readonly end: number;
  readonly blob: number;
  readonly piece: number;
}

/** One seed's reading of one blob. */
interface Part {
  readonly plan: ReadingPlan;
  run: Run | undefined;
  /** The piece to read next. */
  at: number;
}

/** All reads from the registry: each seed its part of a blob, once, and whatever nodes read for themselves. */
export class Reading {
  readonly #world: World;
  readonly #host: ReadingHost;
  /** Flow -> what it reads. */
  readonly #reads = new Map<number, Read>();
  /** Blob -> the seeds that owned it first, and when its reading began. */
  readonly #first: (readonly number[] | undefined)[] = [];
  /** `seed:blob` of reads under way. */
  readonly #reading = new Set<string>();
  /** `seed:blob` -> not before this time. */
  readonly #notBefore = new Map<string, number>();
  /** `seed:blob` -> what it reads. */
  readonly #parts = new Map<string, Part>();

  constructor(world: World, host: ReadingHost) {
    this.#world = world;
    this.#host = host;
  }

  /** A node that wants the blob is linked to a seed that owns it. */
  wanted(seed: number, blob: number): void {
    const { nodes } = this.#world.scenario;
    this.#first[blob] ??= this.#host.owners(seed, blob);
    const owners = this.#first[blob];
    const key = `${seed}:${blob}`;
    if (!this.#notBefore.has(key)) {
      const takesOver = owners.some((owner) => this.#world.isDead(owner));
      this.#notBefore.set(key, takesOver ? this.#world.wheel.now + LISTEN_MS : 0);
    }
    if (this.#world.seeds[seed - nodes]!.has(blob, 0) && owners.length === 1) return;
    this.#proceed(seed, blob);
  }

  /** A node reads one piece for itself. @param asks as a request of its own, and no part of the last one */
  readFor(node: number, blob: number, piece: number, asks: boolean): void {
    const { flows, registry, tally } = this.#world;
    const flow = flows.open(registry, node, this.#world.bytesOf(blob, piece));
    this.#reads.set(flow, { end: node, blob, piece });
    if (asks) tally.originRequests++;
    flows.start(flow);
  }

  isRead(flow: number): boolean {
    return this.#reads.has(flow);
  }

  /** A piece is here from the registry. */
  landed(flow: number): void {
    const { flows, tally, wheel, scenario } = this.#world;
    const { end, blob, piece } = this.#reads.get(flow)!;
    this.#reads.delete(flow);
    flows.release(flow);
    tally.originBytes += this.#world.bytesOf(blob, piece);
    if (end < scenario.nodes) {
      this.#world.came(end, blob, piece, this.#world.registry);
      this.#world.node(end).obtained(blob, piece, wheel.now);
      this.#host.act(end);
      this.#host.readByNode(end);
      return;
    }
    this.#reading.delete(`${end}:${blob}`);
    this.#world.seeds[end - scenario.nodes]!.landed(blob, piece, wheel.now);
    this.#host.act(end);
    this.#host.landed(end, blob);
    this.#proceed(end, blob);
  }

  /** An end died: its reads end. */
  end(end: number): void {
    for (const [flow, read] of this.#reads) {
      if (read.end !== end) continue;
      this.#world.flows.stop(flow);
      this.#reads.delete(flow);
    }
  }

  /** Every 100 ms: what nobody holds any more is read again. */
  tickSeed(seed: number): void {
    this.#world.scenario.blobs.forEach((_, blob) => {
      if (this.#notBefore.has(`${seed}:${blob}`)) this.#proceed(seed, blob);
    });
  }

  /** Reads the next piece of the seed's part that its plan names. */
  #proceed(seed: number, blob: number): void {
    const { flows, registry, scenario, tally, wheel } = this.#world;
    const key = `${seed}:${blob}`;
    if (this.#world.isDead(seed) || this.#reading.has(key) || wheel.now < this.#notBefore.get(key)!) return;
    let part = this.#parts.get(key);
    if (part === undefined) {
      part = { plan: this.#planOf(seed, blob), run: undefined, at: 0 };
      this.#parts.set(key, part);
    }
    if (part.run === undefined || part.at >= part.run.end || !part.plan.goesOn(part.run, part.at)) {
      // The next piece of the same part comes over the same connection.
      const asks = part.run === undefined || scenario.profile.stripes;
      part.run = part.plan.next(wheel.now);
      if (part.run === undefined) return;
      part.at = part.run.first;
      if (asks) tally.originRequests++;
    }
    const piece = part.at++;
    const flow = flows.open(registry, seed, this.#world.bytesOf(blob, piece));
    this.#reading.add(key);
    this.#reads.set(flow, { end: seed, blob, piece });
    flows.start(flow);
  }

  /** As the supernode's own. */
  #planOf(seed: number, blob: number): ReadingPlan {
    const { scenario, wheel } = this.#world;
    const core = this.#world.seeds[seed - scenario.nodes]!;
    const { pieces } = scenario.blobs[blob]!;
    const view = {
      pieces,
      has: (piece: number) => core.has(blob, piece),
      mine: (piece: number) => turnOf(scenario, this.#host.turns(seed, blob), blob, piece) === seed,
      holders: (piece: number) => core.holders(blob, piece),
      owners: (piece: number) => this.#host.holders(seed, blob, piece),
      awaited: (piece: number) => this.#host.awaited(seed, blob, piece),
      spread: () => core.spread(blob),
    };
    return new ReadingPlan(view, 0, wheel.now);
  }
}
