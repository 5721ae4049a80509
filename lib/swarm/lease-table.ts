import type { LeaseAnswer, LeaseWish } from '../core/lease.ts';

/** A lease runs out so long after it was granted or renewed, milliseconds: who reads shows progress far more often. */
export const LEASE_TTL_MS = 2000;
/** Who asks for a stripe that was read gets it from the swarm: so long, milliseconds, it is not read once more. */
export const READ_KEPT_MS = 30_000;
/** When a crowd has stepped aside, asking again sooner is of no use, milliseconds. */
export const CROWD_RETRY_MS = 500;
/** So many nodes may step aside at once from one registry, or this share of all when that is more. */
const FEWEST_ASIDE = 4;
const ASIDE_SHARE = 0.01;
/** Leases of one holder; a node reads one stripe of a blob at a time. Bounds what a broken member can make us hold. */
export const MOST_PER_HOLDER = 256;
/** Holders named to who is refused: enough to find one that answers. */
export const MOST_NAMED = 4;

/** What a member asks for. */
export interface Wish extends Omit<LeaseWish, 'digest'> {
  readonly holder: string;
  readonly digest: string;
}

/** Holders by their ids. */
export type Grant = LeaseAnswer<string>;

/** A lease as whoever keeps it tells others. */
export interface KnownLease extends Omit<Wish, 'stripes'> {
  readonly stripe: number;
  readonly token: number;
}

interface Lease extends KnownLease {
  /** The stripe has been read; until it runs out the lease keeps others from reading it again. */
  read: boolean;
  endsAt: number;
}

/** How many may step aside at once in a cluster of so many nodes. */
export function mostAside(nodes: number): number {
  return Math.max(FEWEST_ASIDE, Math.ceil(nodes * ASIDE_SHARE));
}

/**
 * Who may read which stripe of which blob from its registry, so that a cluster without a supernode reads it once. Pure;
 * times in milliseconds. Tokens grow with every grant, and an old one renews and releases nothing.
 */
export class LeaseTable {
  readonly #byToken = new Map<number, Lease>();
  /** `digest stripe` -> the lease that nobody else may have. */
  readonly #byStripe = new Map<string, Lease>();
  readonly #byHolder = new Map<string, Set<Lease>>();
  /** Upstream -> leases of those who have stepped aside. */
  readonly #aside = new Map<string, Set<Lease>>();
  #lastToken: number;

  /** @param firstToken larger than any that an earlier table has given away */
  constructor(firstToken = 1) {
    this.#lastToken = firstToken - 1;
  }

  /** @param nodes in the cluster */
  ask(wish: Wish, nodes: number, now: number): Grant {
    if ((this.#byHolder.get(wish.holder)?.size ?? 0) >= MOST_PER_HOLDER) this.expire(now);
    if ((this.#byHolder.get(wish.holder)?.size ?? 0) >= MOST_PER_HOLDER) return crowded();
    return wish.aside ? this.#stepAside(wish, nodes, now) : this.#read(wish, now);
  }

  /** The holder makes progress. */
  renew(holder: string, token: number, now: number): Grant {
    const lease = this.#byToken.get(token);
    if (lease === undefined || lease.holder !== holder || lease.read || lease.endsAt <= now) {
      return { kind: 'refused', reason: 'lost', retryMs: 0, holders: [] };
    }
    lease.endsAt = now + LEASE_TTL_MS;
    return { kind: 'granted', stripe: lease.stripe, token, ttlMs: LEASE_TTL_MS };
  }

  /** @param read whether all of the stripe that needed reading has been read */
  release(holder: string, token: number, read: boolean, now: number): void {
    const lease = this.#byToken.get(token);
    if (lease === undefined || lease.holder !== holder) return;
    if (!read || lease.aside || lease.endsAt <= now) this.#end(lease);
    else {
      lease.read = true;
      lease.endsAt = now + READ_KEPT_MS;
    }
  }

  /** The holder is gone, or shares the blob no more: others may read what it did. */
  forget(holder: string, digest?: string): void {
    for (const lease of [...(this.#byHolder.get(holder) ?? [])]) {
      if (digest === undefined || lease.digest === digest) this.#end(lease);
    }
  }

  /** Another table granted it. It takes the place of what is here for that stripe, unless that is newer. */
  adopt(lease: KnownLease, ttlMs: number, now: number): void {
    this.#lastToken = Math.max(this.#lastToken, lease.token);
    const other = lease.aside ? undefined : this.#byStripe.get(stripeKey(lease.digest, lease.stripe));
    if (other !== undefined) {
      if (other.token > lease.token) return;
      this.#end(other);
    }
    this.#keep({ ...lease, read: false, endsAt: now + ttlMs });
  }

  /** Leases that hold now, with what is left of them in milliseconds. */
  *held(now: number): Iterable<KnownLease & { readonly read: boolean; readonly ttlMs: number }> {
    for (const { endsAt, ...lease } of this.#byToken.values()) {
      if (endsAt > now) yield { ...lease, ttlMs: endsAt - now };
    }
  }

  /** Tokens of the holder's leases, of one blob or of all. */
  tokensOf(holder: string, digest?: string): number[] {
    const leases = [...(this.#byHolder.get(holder) ?? [])];
    return leases
      .filter((lease) => digest === undefined || lease.digest === digest)
      .map(({ token }) => token);
  }

  /** The newest token that was granted, here or as far as is known. */
  get lastToken(): number {
    return this.#lastToken;
  }

  /** Removes what has run out. @returns how many leases that were */
  expire(now: number): number {
    let gone = 0;
    for (const lease of [...this.#byToken.values()]) {
      if (lease.endsAt > now) continue;
      this.#end(lease);
      gone++;
    }
    return gone;
  }

  /** Leases, those of stripes that have been read included. */
  get size(): number {
    return this.#byToken.size;
  }

  #read(wish: Wish, now: number): Grant {
    const holders = new Set<string>();
    let reason: 'held' | 'read' = 'read';
    let retryMs = READ_KEPT_MS;
    for (const stripe of wish.stripes) {
      const other = this.#byStripe.get(stripeKey(wish.digest, stripe));
      if (other === undefined || other.endsAt <= now || other.holder === wish.holder) {
        if (other !== undefined) this.#end(other);
        return this.#grant(wish, stripe, now);
      }
      if (holders.size < MOST_NAMED) holders.add(other.holder);
      if (other.read) continue;
      reason = 'held';
      retryMs = Math.min(retryMs, other.endsAt - now);
    }
    return {
      kind: 'refused',
      reason,
      retryMs: Math.ceil(Math.min(retryMs, LEASE_TTL_MS)),
      holders: [...holders],
    };
  }

  #stepAside(wish: Wish, nodes: number, now: number): Grant {
    const [stripe] = wish.stripes;
    if (stripe === undefined) return crowded();
    const others = this.#aside.get(wish.upstream) ?? new Set();
    for (const lease of [...others]) {
      const again = lease.holder === wish.holder && lease.digest === wish.digest;
      if (again || lease.endsAt <= now) this.#end(lease);
    }
    return others.size >= mostAside(nodes) ? crowded() : this.#grant(wish, stripe, now);
  }

  #grant({ holder, digest, upstream, aside }: Wish, stripe: number, now: number): Grant {
    const token = ++this.#lastToken;
    const endsAt = now + LEASE_TTL_MS;
    this.#keep({ holder, digest, upstream, stripe, aside, token, read: false, endsAt });
    return { kind: 'granted', stripe, token, ttlMs: LEASE_TTL_MS };
  }

  #keep(lease: Lease): void {
    this.#byToken.set(lease.token, lease);
    if (lease.aside) add(this.#aside, lease.upstream, lease);
    else this.#byStripe.set(stripeKey(lease.digest, lease.stripe), lease);
    add(this.#byHolder, lease.holder, lease);
  }

  #end(lease: Lease): void {
    this.#byToken.delete(lease.token);
    remove(this.#byHolder, lease.holder, lease);
    if (lease.aside) remove(this.#aside, lease.upstream, lease);
    else this.#byStripe.delete(stripeKey(lease.digest, lease.stripe));
  }
}

function crowded(): Grant {
  return { kind: 'refused', reason: 'crowded', retryMs: CROWD_RETRY_MS, holders: [] };
}

function stripeKey(digest: string, stripe: number): string {
  return `${digest} ${stripe}`;
}

function add(sets: Map<string, Set<Lease>>, key: string, lease: Lease): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([lease]));
  else set.add(lease);
}

function remove(sets: Map<string, Set<Lease>>, key: string, lease: Lease): void {
  const set = sets.get(key);
  if (set?.delete(lease) === true && set.size === 0) sets.delete(key);
}
