import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import {
  CROWD_RETRY_MS,
  type KnownLease,
  LEASE_TTL_MS,
  MOST_NAMED,
  MOST_PER_HOLDER,
  mostAside,
  READ_KEPT_MS,
} from '../../lib/swarm/lease-table.ts';
import type { OwnAddress } from './own-address.ts';
import type { RedisConnection } from './redis-connection.ts';
import { decodePeer, encodePeer } from './shared-peer.ts';

/** Leases that Redis keeps for all trackers: the rules of `LeaseTable`, by the clock of Redis. All reject when it fails. */
export class RedisLeases {
  readonly #redis: RedisConnection;
  readonly #own: OwnAddress;

  constructor(redis: RedisConnection, own: OwnAddress) {
    this.#redis = redis;
    this.#own = own;
  }

  /**
   * @param cluster.nodes in it, for how many of them may step aside
   * @param cluster.leastToken larger than any that a tracker gave away while it was by itself
   */
  async ask(
    holder: PeerInfo,
    { aside, digest, stripes, upstream }: LeaseWish,
    { leastToken, nodes }: { readonly nodes: number; readonly leastToken: number },
  ): Promise<LeaseAnswer> {
    const limits = [mostAside(nodes), leastToken, LEASE_TTL_MS, MOST_PER_HOLDER, MOST_NAMED];
    const asked = [holder.id, encodePeer(this.#own.forOthers(holder)), digest, upstream, aside ? 1 : 0];
    const [kind, first, ...rest] = (await this.#redis.run('ask', [...asked, ...limits, ...stripes])) as [
      string,
      number | string,
      ...string[],
    ];
    if (kind === 'granted') {
      return { kind, stripe: Number(first), token: Number(rest[0]), ttlMs: LEASE_TTL_MS };
    }
    if (kind !== 'held' && kind !== 'read') {
      return { kind: 'refused', reason: 'crowded', retryMs: CROWD_RETRY_MS, holders: [] };
    }
    const holders = rest.flatMap((text) => decodePeer(text) ?? []);
    return { kind: 'refused', reason: kind, retryMs: Number(first), holders };
  }

  /** @returns the lease that goes on; undefined when it is lost */
  async renew(holder: string, token: number): Promise<KnownLease | undefined> {
    const told = (await this.#redis.run('renew', [holder, token, LEASE_TTL_MS])) as
      | [stripe: string, digest: string, upstream: string, aside: string]
      | null;
    if (told === null) return undefined;
    const [stripe, digest, upstream, aside] = told;
    return { holder, token, stripe: Number(stripe), digest, upstream, aside: aside === '1' };
  }

  async release(holder: string, token: number, read: boolean): Promise<void> {
    await this.#redis.run('release', [holder, token, read ? 1 : 0, READ_KEPT_MS]);
  }

  /** A lease given away while Redis was gone. Whoever has the stripe in Redis keeps it, and the next renewal tells. */
  async restore(
    holder: PeerInfo,
    lease: KnownLease & { readonly read: boolean; readonly ttlMs: number },
  ): Promise<void> {
    const { aside, digest, read, stripe, token, ttlMs, upstream } = lease;
    const what = [holder.id, encodePeer(this.#own.forOthers(holder)), digest, upstream, aside ? 1 : 0, token];
    await this.#redis.run('restore', [...what, Math.ceil(ttlMs), stripe, read ? 1 : 0]);
  }
}
