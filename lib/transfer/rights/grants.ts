import { BoundedMap } from '../../core/bounded-map.ts';
import type { Digest } from '../../core/digest.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import {
  CAPABILITY_CLOCKS_MS,
  CAPABILITY_LIFE_MS,
  type Capability,
  checkCapability,
} from '../../security/capability.ts';
import { CLOCK_TOLERANCE_MS } from '../../security/cluster-time.ts';
import type { Signatures } from '../../security/signatures.ts';
import type { SmallBlobsRequest } from '../seams.ts';

/** A member as its connection has proved it. */
export interface Holder {
  /** Id among peers. */
  readonly id: string;
  /** SHA-256 of its certificate, hex. */
  readonly fingerprint: string;
}

/** Blobs for which nobody need show anything. */
export interface OpenToAll {
  isOpen(digest: Digest): boolean;
}

export interface GrantsDeps {
  readonly signatures: Signatures;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** What rights age by: it does not jump when a tracker tells another time. */
  readonly clock: Pick<Clock, 'now'>;
  /** Cluster time, milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** Members remembered, more than any cluster has, and blobs of each; those not shown for longest go first. */
const MAX_HOLDERS = 65_536;
const MAX_BLOBS = 4096;
/** Capabilities of which is known when they were first shown; those shown first go first. */
const MAX_SEEN = 65_536;
/** Refusals told in the log, one of each member and reason. */
const MAX_TOLD = 1024;

/**
 * Who may be given which blobs: those who have shown a capability for them, and supernodes, which read them themselves;
 * everybody those that the registry gives to anybody.
 */
export class Grants {
  readonly #deps: GrantsDeps;
  /** Until when, by our own clock, by member and blob. */
  readonly #held = new BoundedMap<BoundedMap<number>>(MAX_HOLDERS);
  /** The same by capability. */
  readonly #seen = new BoundedMap<number>(MAX_SEEN);
  readonly #told = new BoundedMap<true>(MAX_TOLD);
  #open: OpenToAll | undefined;

  constructor(deps: GrantsDeps) {
    this.#deps = deps;
  }

  /** From now on those blobs are given to every member. */
  openUp(open: OpenToAll): void {
    this.#open = open;
  }

  /** A member shows a capability. @returns whether it counts */
  show(
    { fingerprint, id }: Holder,
    shown: { readonly text: string; readonly digests: readonly Digest[] },
  ): boolean {
    const { signatures, wallClockMs } = this.#deps;
    const checked = checkCapability(signatures, { ...shown, holder: fingerprint }, wallClockMs());
    if (typeof checked === 'string') {
      this.#refused(id, checked);
      return false;
    }
    const endMs = this.#endOf(checked);
    if (endMs < this.#deps.clock.now()) {
      this.#refused(id, 'expired');
      return false;
    }
    const held = this.#held.get(id) ?? new BoundedMap<number>(MAX_BLOBS);
    this.#held.set(id, held);
    for (const digest of shown.digests) held.set(digest, Math.max(endMs, held.get(digest) ?? endMs));
    return true;
  }

  /**
   * It holds for its life from when it was first shown here, by our own clock: who signed it, and before whom it is shown,
   * need not agree on the time. To show it once more makes it no longer.
   */
  #endOf({ holder, list, sinceMs, untilMs }: Capability): number {
    const { clock, wallClockMs } = this.#deps;
    const key = `${holder} ${list} ${untilMs}`;
    const leftMs = untilMs + CAPABILITY_CLOCKS_MS - wallClockMs();
    // Where sessions are short it was never good for five minutes.
    const lifeMs = Math.min(CAPABILITY_LIFE_MS, untilMs - sinceMs);
    const endMs = clock.now() + Math.min(lifeMs + CLOCK_TOLERANCE_MS, leftMs);
    const knownMs = this.#seen.get(key);
    if (knownMs !== undefined) return knownMs;
    this.#seen.set(key, endMs);
    return endMs;
  }

  /** Whether the peer may be given bytes of the blob now. Where it may not, that is counted and logged once. */
  allows({ id, role }: Pick<PeerInfo, 'id' | 'role'>, digest: Digest): boolean {
    if (role === 'supernode') return true;
    const endMs = this.#held.get(id)?.get(digest);
    if (endMs !== undefined && endMs >= this.#deps.clock.now()) return true;
    if (this.#open?.isOpen(digest) === true) return true;
    this.#refused(id, endMs === undefined ? 'no-capability' : 'expired');
    return false;
  }

  /** Of a question for small blobs those that the asker may have; a capability that comes with it counts. */
  permitted({
    blobs,
    capability,
    fingerprint,
    from,
  }: Pick<SmallBlobsRequest, 'blobs' | 'capability' | 'fingerprint' | 'from'>): ReadonlySet<Digest> {
    if (capability !== undefined && fingerprint !== undefined) {
      this.#deps.signatures.learn(capability.card);
      this.show({ id: from, fingerprint }, { text: capability.capability, digests: capability.digests });
    }
    const asker = { id: from, role: 'node' } as const;
    return new Set(blobs.map(({ digest }) => digest).filter((digest) => this.allows(asker, digest)));
  }

  #refused(peer: string, reason: string): void {
    const { log, metrics } = this.#deps;
    metrics.refused.inc({ reason });
    const key = `${peer} ${reason}`;
    if (this.#told.get(key) !== undefined) return;
    this.#told.set(key, true);
    log.warn({ peer, reason }, 'a peer does not get blobs: it has not shown the right to them');
  }
}
