import { ImportPlan } from '../../../lib/swarm/import-plan.ts';
import { Came } from '../../../lib/swarm/seed-blob.ts';
import { splitTurns } from '../../../lib/swarm/sites.ts';
import { zoneOf } from '../scenario.ts';
import { Happens } from './events.ts';
import { turnOf } from './turn-of.ts';
import type { World } from './world.ts';

/** Whom the importer asks about the cluster. */
export interface ImportingHost {
  /** What the tracker tells that seed of the blob; see `turnsFor` in lib/swarm/sites.ts. */
  told(seed: number, blob: number): readonly number[];
  /** Another site wants the blob of that seed. */
  wanted(seed: number, blob: number): void;
  act(end: number): void;
}

type Split = ReturnType<typeof splitTurns<number>>;

/** One seed's bringing of one blob into its site. */
interface Part {
  readonly seed: number;
  readonly blob: number;
  readonly plan: ImportPlan<number>;
  /** Seeds that bring from this one. */
  readonly importers: Set<Part>;
  /** Seeds that it brings from and that know it. */
  readonly asked: Set<number>;
}

interface Carried {
  readonly part: Part;
  readonly piece: number;
  readonly request: number;
  /** The request has reached the sender. */
  running: boolean;
}

/** Pieces that seeds bring into their sites from those of others. */
export class Importing {
  readonly #world: World;
  readonly #host: ImportingHost;
  readonly #parts: Part[] = [];
  /** `seed:blob` -> its number. */
  readonly #byName = new Map<string, number>();
  /** What a seed was told -> the same taken apart: it is asked for each piece. */
  readonly #split = new WeakMap<readonly number[], Split>();
  /** Flow -> what it carries; `request` tells it from those that had its number before. */
  readonly #flows = new Map<number, Carried>();
  #requests = 0;

  constructor(world: World, host: ImportingHost) {
    this.#world = world;
    this.#host = host;
  }

  /** The seed is to have the blob: it asks those from whom its part of it comes. */
  wanted(seed: number, blob: number): void {
    const { gateways, sources } = this.#turns(seed, blob);
    if (gateways === undefined) return;
    const part = this.#part(seed, blob);
    // Who reads meets all others who do: it may be in for one that is gone.
    const reads = sources.includes(seed);
    const needed = sources.filter((source, turn) => source !== seed && (reads || gateways[turn] === seed));
    for (const source of new Set(needed)) {
      if (part.asked.has(source) || this.#world.isDead(source) || this.#world.isCut(seed, source)) continue;
      part.asked.add(source);
      const at = this.#world.wheel.now + this.#world.latencyMs(seed, source);
      this.#world.wheel.add(at, Happens.importerMet, source, this.#numberOf(part), 0, 0);
    }
    this.#proceed(part);
  }

  /** Seeds of other sites that hold the piece, as far as that one knows: it is not read from the registry again. */
  holders(seed: number, blob: number, piece: number): number {
    const { scenario, seeds } = this.#world;
    let holders = 0;
    for (const source of this.#known(seed, blob)?.asked ?? []) {
      if (this.#world.isDead(source) || this.#world.isCut(seed, source)) continue;
      if (seeds[source - scenario.nodes]!.has(blob, piece)) holders++;
    }
    return holders;
  }

  /** Whether one that brings from the seed, and can, lacks the piece. */
  awaited(seed: number, blob: number, piece: number): boolean {
    const { scenario, seeds } = this.#world;
    for (const { seed: importer } of this.#known(seed, blob)?.importers ?? []) {
      if (this.#world.isDead(importer) || this.#world.isCut(seed, importer)) continue;
      if (zoneOf(scenario, importer) === zoneOf(scenario, seed)) continue;
      if (!seeds[importer - scenario.nodes]!.has(blob, piece)) return true;
    }
    return false;
  }

  /** A seed hears that another site brings the blob from it. */
  met(source: number, number: number): void {
    const part = this.#parts[number]!;
    if (this.#world.isDead(source)) return;
    if (this.#world.isCut(source, part.seed)) {
      part.asked.delete(source);
      return;
    }
    this.#part(source, part.blob).importers.add(part);
    this.#host.wanted(source, part.blob);
    this.#tell(source, part.blob);
  }

  /** A piece is at the seed: those who bring from it hear of that. */
  landed(seed: number, blob: number): void {
    this.#tell(seed, blob);
  }

  /** Something that the part may want is somewhere. */
  heard(number: number): void {
    this.#proceed(this.#parts[number]!);
  }

  /** The request is at its sender. */
  starts(flow: number, request: number): void {
    const carried = this.#flows.get(flow);
    if (carried?.request !== request) return;
    carried.running = true;
    this.#world.flows.start(flow);
  }

  isImport(flow: number): boolean {
    return this.#flows.has(flow);
  }

  /** The last byte is there. */
  ended(flow: number): void {
    const { flows, scenario, seeds, tally, wheel } = this.#world;
    const { part, piece } = this.#flows.get(flow)!;
    tally.sent(flows.from[flow]!, part.seed, this.#world.bytesOf(part.blob, piece));
    this.#flows.delete(flow);
    flows.release(flow);
    part.plan.ended(piece);
    seeds[part.seed - scenario.nodes]!.landed(part.blob, piece, wheel.now, Came.brought);
    this.#host.act(part.seed);
    this.#proceed(part);
    this.#tell(part.seed, part.blob);
  }

  /** An end died: what runs to or from it ends, and is asked for elsewhere when others know. */
  end(end: number): void {
    this.#stop((from, to) => from === end || to === end);
  }

  /** A border is down: what was crossing it is asked for again when somebody can be asked. */
  cut(): void {
    this.#stop((from, to) => this.#world.isCut(from, to));
  }

  #stop(concerns: (from: number, to: number) => boolean): void {
    const { flows } = this.#world;
    for (const [flow, { part, piece, running }] of this.#flows) {
      if (!concerns(flows.from[flow]!, part.seed)) continue;
      if (running) flows.stop(flow);
      this.#flows.delete(flow);
      flows.release(flow);
      part.plan.ended(piece);
    }
  }

  /** Other seeds may be in for those that are gone, and others may be within reach again. */
  tickSeed(seed: number): void {
    for (const part of this.#parts) if (part.seed === seed) this.wanted(seed, part.blob);
  }

  #tell(seed: number, blob: number): void {
    const { wheel } = this.#world;
    for (const part of this.#part(seed, blob).importers) {
      const at = wheel.now + this.#world.latencyMs(seed, part.seed);
      wheel.add(at, Happens.importable, this.#numberOf(part), 0, 0, 0);
    }
  }

  #proceed(part: Part): void {
    const { flows, wheel } = this.#world;
    if (this.#world.isDead(part.seed)) return;
    for (let next = part.plan.next(); next !== undefined; next = part.plan.next()) {
      const { piece, source } = next;
      const flow = flows.open(source, part.seed, this.#world.bytesOf(part.blob, piece));
      const request = ++this.#requests;
      this.#flows.set(flow, { part, piece, request, running: false });
      const at = wheel.now + this.#world.latencyMs(part.seed, source);
      wheel.add(at, Happens.importStarts, flow, request, 0, 0);
    }
  }

  #turns(seed: number, blob: number): Split {
    const told = this.#host.told(seed, blob);
    const split = this.#split.get(told) ?? splitTurns(told);
    this.#split.set(told, split);
    return split;
  }

  #numberOf({ blob, seed }: Part): number {
    return this.#byName.get(`${seed}:${blob}`)!;
  }

  #known(seed: number, blob: number): Part | undefined {
    return this.#parts[this.#byName.get(`${seed}:${blob}`) ?? -1];
  }

  #part(seed: number, blob: number): Part {
    const known = this.#known(seed, blob);
    if (known !== undefined) return known;
    const { scenario, seeds } = this.#world;
    const { pieces } = scenario.blobs[blob]!;
    const has = (end: number, piece: number): boolean => seeds[end - scenario.nodes]!.has(blob, piece);
    const asked = new Set<number>();
    const plan = new ImportPlan<number>(
      {
        pieces,
        lacks: (piece) => {
          if (has(seed, piece)) return false;
          const { gateways } = this.#turns(seed, blob);
          return gateways !== undefined && turnOf(scenario, gateways, blob, piece) === seed;
        },
        holder: (piece, mayAsk) => {
          const { gateways = [], sources } = this.#turns(seed, blob);
          const source = turnOf(scenario, sources, blob, piece);
          const holds = (end: number): boolean =>
            !this.#world.isDead(end) && !this.#world.isCut(end, seed) && has(end, piece);
          const near = gateways.filter((end) => end !== seed && holds(end));
          if (near.length > 0) return near.find(mayAsk);
          const fits = (end: number): boolean => holds(end) && mayAsk(end);
          if (source !== undefined && asked.has(source) && fits(source)) return source;
          return source !== seed ? undefined : [...asked].find(fits);
        },
      },
      this.#world.rng.int(pieces),
    );
    const part: Part = { seed, blob, plan, importers: new Set(), asked };
    this.#byName.set(`${seed}:${blob}`, this.#parts.push(part) - 1);
    return part;
  }
}
