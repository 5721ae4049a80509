import type { World } from './world.ts';

/** When a node may read from the registry itself: nothing came for so long, milliseconds. */
const PATIENCE_MS = { alone: 500, unseeded: 2000, seeded: 4600 } as const;
/** A seed that takes over hears first what its nodes hold already, milliseconds. */
const LISTEN_MS = 200;

/** Whom the reader asks about the cluster. */
export interface ReadingHost {
  /** Seeds that own the blob now. */
  owners(blob: number): number[];
  act(end: number): void;
  /** Nobody sends anything: the node asks the tracker for others. */
  stalled(node: number): void;
}

/** A read of one piece from the registry. */
interface Read {
  readonly end: number;
  readonly blob: number;
  readonly piece: number;
}

/** All reads from the registry: each seed its part of a blob, once, and nodes to whom nobody sends anything. */
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
  readonly #progressAt: Float64Array;
  readonly #progressPieces: Int32Array;

  constructor(world: World, host: ReadingHost) {
    this.#world = world;
    this.#host = host;
    this.#progressAt = new Float64Array(world.scenario.nodes);
    this.#progressPieces = new Int32Array(world.scenario.nodes);
  }

  /** A node that wants the blob is linked to a seed that owns it. */
  wanted(seed: number, blob: number): void {
    const { nodes } = this.#world.scenario;
    const owners = this.#first[blob] ?? this.#host.owners(blob);
    this.#first[blob] = owners;
    const key = `${seed}:${blob}`;
    if (!this.#notBefore.has(key)) {
      const takesOver = owners.some((owner) => this.#world.isDead(owner));
      this.#notBefore.set(key, takesOver ? this.#world.wheel.now + LISTEN_MS : 0);
    }
    if (this.#world.seeds[seed - nodes]!.has(blob, 0) && owners.length === 1) return;
    this.#proceed(seed, blob);
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
      this.#world.node(end).obtained(blob, piece, wheel.now);
      this.#host.act(end);
      return;
    }
    this.#reading.delete(`${end}:${blob}`);
    this.#world.seeds[end - scenario.nodes]!.landed(blob, piece, wheel.now);
    this.#host.act(end);
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

  /** Every 100 ms: a node to whom nobody sends anything reads for itself. */
  tickNode(node: number): void {
    const { tally, wheel, links, scenario, registry, flows, startsAt } = this.#world;
    const missing = tally.missing[node]!;
    const now = wheel.now;
    if (now < startsAt[node]!) return;
    if (missing !== this.#progressPieces[node]) {
      this.#progressPieces[node] = missing;
      this.#progressAt[node] = now;
      return;
    }
    let seeded = false;
    let company = false;
    for (let link = 0; link < links.count(node); link++) {
      const other = links.other(node, link);
      if (other < 0) continue;
      company = true;
      if (other >= scenario.nodes) seeded = true;
    }
    const patienceMs = seeded ? PATIENCE_MS.seeded : company ? PATIENCE_MS.unseeded : PATIENCE_MS.alone;
    if (now - Math.max(this.#progressAt[node]!, startsAt[node]!) < patienceMs) return;
    this.#progressAt[node] = now;
    const core = this.#world.node(node);
    const found = this.#pieceToRead(node);
    if (found !== undefined && core.reserve(found.blob, found.piece)) {
      const flow = flows.open(registry, node, this.#world.bytesOf(found.blob, found.piece));
      this.#reads.set(flow, { end: node, ...found });
      tally.originRequests++;
      flows.start(flow);
    }
    this.#host.stalled(node);
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

  /** Reads the next piece of the seed's part that it lacks and nobody else is known to hold. */
  #proceed(seed: number, blob: number): void {
    const { flows, registry, scenario, tally, wheel } = this.#world;
    const key = `${seed}:${blob}`;
    if (this.#world.isDead(seed) || this.#reading.has(key) || wheel.now < this.#notBefore.get(key)!) return;
    const core = this.#world.seeds[seed - scenario.nodes]!;
    const { pieces } = scenario.blobs[blob]!;
    for (let piece = 0; piece < pieces; piece++) {
      if (core.has(blob, piece) || core.holders(blob, piece) > 0) continue;
      if (this.#ownerOf(blob, piece) !== seed) continue;
      const flow = flows.open(registry, seed, this.#world.bytesOf(blob, piece));
      this.#reading.add(key);
      this.#reads.set(flow, { end: seed, blob, piece });
      if (piece === 0 || !core.has(blob, piece - 1)) tally.originRequests++;
      flows.start(flow);
      return;
    }
  }

  /** The seed that reads the piece: pieces are dealt out in turn, and those of a dead seed among the owners that live. */
  #ownerOf(blob: number, piece: number): number {
    const first = this.#first[blob]!;
    const owner = first[piece % first.length]!;
    if (!this.#world.isDead(owner)) return owner;
    const living = this.#host.owners(blob).filter((seed) => !this.#world.isDead(seed));
    return living[Math.floor(piece / first.length) % living.length] ?? owner;
  }
}
