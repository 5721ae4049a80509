import type { Digest } from '../../lib/core/digest.ts';
import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { LEASE_TTL_MS } from '../../lib/swarm/lease-table.ts';
import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { RedisLeases } from './redis-leases.ts';

export interface SharedLeasesDeps {
  readonly core: TrackerCore;
  readonly clock: Clock;
  readonly redis: RedisLeases;
  /** Undefined when Redis does not answer. */
  readonly attempt: <T>(act: () => Promise<T>) => Promise<T | undefined>;
  /** Nodes of the cluster. */
  readonly nodes: () => number;
}

/**
 * Leases as all trackers give them: Redis is asked each time, and the core keeps what it granted to members of this
 * tracker. While Redis does not answer, the core grants by itself.
 */
export class SharedLeases {
  readonly #deps: SharedLeasesDeps;

  constructor(deps: SharedLeasesDeps) {
    this.#deps = deps;
  }

  /** May the member read one of these stripes? Never rejects. */
  async ask(id: string, wish: LeaseWish): Promise<LeaseAnswer> {
    const { attempt, clock, core, nodes, redis } = this.#deps;
    const holder = core.member(id);
    const leastToken = core.leases.lastToken + 1;
    const answer = holder && (await attempt(() => redis.ask(holder, wish, { nodes: nodes(), leastToken })));
    if (answer === undefined) return core.lease(id, wish, clock.now());
    if (answer.kind === 'granted' && core.member(id) !== undefined) {
      const { stripe, token, ttlMs } = answer;
      const { aside, digest, upstream } = wish;
      core.leases.adopt({ holder: id, digest, upstream, aside, stripe, token }, ttlMs, clock.now());
    }
    return answer;
  }

  /** Never rejects. */
  async renew(id: string, token: number): Promise<LeaseAnswer> {
    const { attempt, clock, core, redis } = this.#deps;
    const renewed = await attempt(async () => ({ lease: await redis.renew(id, token) }));
    if (renewed === undefined) return core.renewLease(id, token, clock.now());
    const { lease } = renewed;
    if (lease === undefined) {
      core.releaseLease(id, token, false, clock.now());
      return { kind: 'refused', reason: 'lost', retryMs: 0, holders: [] };
    }
    // It may have been given away by a tracker that is gone.
    if (core.member(id) !== undefined) core.leases.adopt(lease, LEASE_TTL_MS, clock.now());
    return { kind: 'granted', stripe: lease.stripe, token, ttlMs: LEASE_TTL_MS };
  }

  release(id: string, token: number, read: boolean): void {
    const { attempt, clock, core, redis } = this.#deps;
    core.releaseLease(id, token, read, clock.now());
    void attempt(() => redis.release(id, token, read));
  }

  /**
   * Ends the member's leases, of one blob or of all, in Redis; those that this tracker knows of: a node that is
   * connected to others goes on with what it has there.
   */
  giveUp(id: string, digest?: Digest): void {
    const { attempt, core, redis } = this.#deps;
    for (const token of core.leases.tokensOf(id, digest)) {
      void attempt(() => redis.release(id, token, false));
    }
  }

  /** Redis answers again: tells it what the core granted meanwhile. @throws as the connection does */
  async restore(): Promise<void> {
    const { clock, core, redis } = this.#deps;
    for (const lease of [...core.leases.held(clock.now())]) {
      const holder = core.member(lease.holder);
      if (holder !== undefined) await redis.restore(holder, lease);
    }
  }
}
