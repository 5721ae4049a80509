import type { LeaseAnswer } from '../../../lib/core/lease.ts';
import { FallbackPlan, type LackedBlob } from '../../../lib/swarm/fallback-plan.ts';
import { LEASE_TTL_MS } from '../../../lib/swarm/lease-table.ts';
import { keyOf } from './trackers.ts';
import type { World } from './world.ts';

/** A lease is renewed when this share of its time is over. */
const RENEW_SHARE = 1 / 4;

/** A blob as one node has it. */
export interface NodeBlob extends LackedBlob {
  readonly node: number;
  readonly blob: number;
}

/** What nobody else reads; or what the node's client needs next, whoever was to bring it. */
export type PastMode = 'lease' | 'aside';

/** What a node reads under one lease. */
export interface PastRead {
  readonly of: NodeBlob;
  readonly lease: Extract<LeaseAnswer, { kind: 'granted' }>;
  readonly mode: PastMode;
  /** How it was to read when it began; it reads aside too when others have the stripe and do not bring it. */
  readonly wanted: PastMode;
  /** It has only begun to read past the swarm. */
  readonly first: boolean;
  /** When it did, milliseconds. */
  readonly sinceMs: number;
}

export interface PastSwarmHost {
  /** Reads one piece from the registry, then says {@link PastSwarm.landed}. @param asks as a request of its own */
  readFor(node: number, blob: number, piece: number, asks: boolean): void;
  renewLease(node: number, token: number): LeaseAnswer;
  releaseLease(node: number, token: number, read: boolean): void;
  /** Whether a seed that owns the image is a neighbour. */
  seeded(node: number): boolean;
  /** When a seed last gave the node something. */
  seedGaveAt(node: number): number;
  /** @param moved whether it read anything */
  ended(read: PastRead, moved: boolean): void;
}

interface UnderWay extends PastRead {
  /** Pieces of the blob that it held before. */
  readonly before: number;
  renewedAt: number;
  /** The piece that is read, and the last one of its run. */
  at: number;
  last: number;
}

/** Reads of nodes under leases, run by run, as the daemons' `LeasedReads`. */
export class PastSwarm {
  readonly #world: World;
  readonly #host: PastSwarmHost;
  readonly #underWay = new Map<number, UnderWay>();
  readonly #plans = new Map<number, FallbackPlan<NodeBlob>>();

  constructor(world: World, host: PastSwarmHost) {
    this.#world = world;
    this.#host = host;
  }

  isReading(node: number): boolean {
    return this.#underWay.has(node);
  }

  /** What the node lacks of the blob. */
  lacking(node: number, blob: number): NodeBlob {
    const { bytes: size, pieceBytes, pieces } = this.#world.scenario.blobs[blob]!;
    const has = (piece: number): boolean => this.#world.node(node).has(blob, piece);
    const info = { size, pieceBytes, pieces };
    return { node, blob, digest: keyOf(blob), info, cursor: 0, readers: 1, stored: { have: { has } } };
  }

  stripes(of: NodeBlob, mode: PastMode): number[] {
    return this.#planOf(of.node).stripes(of, mode === 'aside');
  }

  /** The node has the lease. */
  begin(read: PastRead): void {
    const { blob, node } = read.of;
    const before = this.#world.node(node).held(blob);
    const underWay = { ...read, before, renewedAt: this.#world.wheel.now, at: -1, last: -1 };
    this.#underWay.set(node, underWay);
    this.#nextRun(underWay);
  }

  /** The piece that was read is at the node. */
  landed(node: number): void {
    const underWay = this.#underWay.get(node);
    if (underWay === undefined || !this.#keeps(underWay)) return;
    underWay.at++;
    if (underWay.at <= underWay.last) this.#read(underWay, false);
    else if (underWay.mode === 'aside' || this.#host.seedGaveAt(node) > underWay.sinceMs) this.#end(underWay);
    else this.#nextRun(underWay);
  }

  /** At each tick: whether the lease lasts. */
  tick(node: number): void {
    const underWay = this.#underWay.get(node);
    if (underWay !== undefined) this.#keeps(underWay);
  }

  /** @returns false when somebody else may have it by now: it reads no more */
  #keeps(underWay: UnderWay): boolean {
    const { now } = this.#world.wheel;
    const { lease, of } = underWay;
    if (now - underWay.renewedAt < LEASE_TTL_MS * RENEW_SHARE) return true;
    underWay.renewedAt = now;
    if (this.#host.renewLease(of.node, lease.token).kind === 'granted') return true;
    this.#end(underWay);
    return false;
  }

  #nextRun(underWay: UnderWay): void {
    const { first, lease, mode, of } = underWay;
    const plan = this.#planOf(of.node);
    const run = mode === 'lease' ? plan.nextRun(of, lease.stripe) : plan.window(of, first);
    if (run === undefined) {
      this.#end(underWay);
      return;
    }
    underWay.at = run.first;
    underWay.last = run.last;
    this.#read(underWay, true);
  }

  #read({ at, of }: UnderWay, asks: boolean): void {
    this.#host.readFor(of.node, of.blob, at, asks);
  }

  #end(underWay: UnderWay): void {
    const { at, before, last, lease, mode, of } = underWay;
    const core = this.#world.node(of.node);
    this.#underWay.delete(of.node);
    for (let piece = at; piece >= 0 && piece <= last; piece++) core.unreserve(of.blob, piece);
    const moved = core.held(of.blob) > before;
    // Of a crowd beside seeds that are slow only so few at a time: it counts for as long as it would have lasted.
    if (mode !== 'aside' || !this.#host.seeded(of.node)) {
      this.#host.releaseLease(of.node, lease.token, moved);
    }
    this.#host.ended(underWay, moved);
  }

  #planOf(node: number): FallbackPlan<NodeBlob> {
    const known = this.#plans.get(node);
    if (known !== undefined) return known;
    const { links } = this.#world;
    const plan = new FallbackPlan<NodeBlob>({
      selfId: () => String(node),
      reserve: ({ blob }, piece) => this.#world.node(node).reserve(blob, piece),
      letGo: ({ blob }, piece) => this.#world.node(node).letGo(blob, piece),
      holders: ({ blob }, piece) => this.#world.node(node).holders(blob, piece),
      sharers: () =>
        Array.from({ length: links.count(node) }, (_, link) => links.other(node, link)).filter(
          (other) => other >= 0 && !this.#world.distrusts(node, other),
        ),
    });
    this.#plans.set(node, plan);
    return plan;
  }
}
