import { DamselflyError } from '../../core/errors.ts';
import type { LeaseAnswer, LeaseRef, LeaseWish } from '../../core/lease.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { isOurTurn, type LocalView, mayStepAside } from '../../swarm/local-lease.ts';
import type { Vouching } from '../proofs/vouching.ts';

/** Progress is told when this share of the time that the lease has to run is over. */
const RENEW_SHARE = 1 / 4;
/** Without a tracker: others may have had their turn by then, milliseconds. */
const LOCAL_RETRY_MS = 250;

/** The right to read one stripe from the registry. */
export interface HeldLease {
  readonly kind: 'held';
  readonly stripe: number;
  /** Fires when the lease is lost: whoever reads under it stops. */
  readonly signal: AbortSignal;
  /** Bytes came from the registry. */
  progressed(): void;
  /** Ends it. @param read whether nothing of the stripe is left to read */
  release(read: boolean): void;
  /** Ends it for us, while it counts with whoever gave it for as long as it would have lasted. */
  lapse(): void;
}

export interface RefusedLease {
  readonly kind: 'refused';
  readonly retryMs: number;
  /** Somebody reads it now. */
  readonly held: boolean;
  /** Who has what we wanted to read. */
  readonly holders: readonly PeerInfo[];
}

export interface ReadLeasesDeps {
  readonly discovery: Pick<Discovery, 'leases'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly vouching?: Vouching | undefined;
}

/** Leases on registry reads of a node: from the tracker or, when none answers, by what the node itself knows. */
export class ReadLeases {
  readonly #deps: ReadLeasesDeps;

  constructor(deps: ReadLeasesDeps) {
    this.#deps = deps;
  }

  async take(wish: LeaseWish, view: LocalView): Promise<HeldLease | RefusedLease> {
    const { clock, discovery, metrics } = this.#deps;
    const askedMs = clock.now();
    const answer = await discovery.leases.ask(wish);
    if (answer === undefined) return this.#local(wish, view);
    metrics.leases.inc({ answer: answer.kind === 'granted' ? 'granted' : answer.reason });
    if (answer.kind === 'refused') {
      const { holders, reason, retryMs } = answer;
      return { kind: 'refused', retryMs, held: reason === 'held', holders };
    }
    for (const paper of answer.warrant ?? []) this.#deps.vouching?.hear(paper);
    return this.#hold(wish, answer, askedMs);
  }

  #local({ stripes, aside }: LeaseWish, view: LocalView): HeldLease | RefusedLease {
    const stripe = aside
      ? stripes.find(() => mayStepAside(view))
      : stripes.find((each) => isOurTurn(view, each));
    this.#deps.metrics.leases.inc({ answer: stripe === undefined ? 'local-refused' : 'local-granted' });
    return stripe === undefined
      ? { kind: 'refused', retryMs: LOCAL_RETRY_MS, held: false, holders: [] }
      : unleased(stripe);
  }

  /** Whoever granted it counts from later than we do, so that we stop before anybody else begins. */
  #hold(
    { aside, digest, upstream }: LeaseWish,
    granted: Extract<LeaseAnswer, { kind: 'granted' }>,
    askedMs: number,
  ): HeldLease {
    const { clock, discovery, metrics } = this.#deps;
    const { stripe, token, ttlMs } = granted;
    const lease: LeaseRef = { aside, digest, upstream, token };
    const ending = new AbortController();
    let renewedMs = askedMs;
    let renewing = false;
    let over = false;
    let cancelEnd = (): void => {};
    const lose = (): void => {
      if (over) return;
      over = true;
      cancelEnd();
      metrics.leases.inc({ answer: 'lost' });
      ending.abort(new DamselflyError('ABORTED', 'the lease is lost'));
    };
    const runUntil = (ms: number): void => {
      cancelEnd();
      cancelEnd = clock.after(ms - clock.now(), lose);
    };
    const renew = async (): Promise<void> => {
      renewing = true;
      const sentMs = clock.now();
      const answer = await discovery.leases.renew(lease);
      renewing = false;
      if (over) return;
      if (answer?.kind === 'refused') lose();
      else if (answer !== undefined) {
        renewedMs = sentMs;
        runUntil(sentMs + answer.ttlMs);
      }
    };
    runUntil(askedMs + ttlMs);
    return {
      kind: 'held',
      stripe,
      signal: ending.signal,
      progressed: () => {
        if (!over && !renewing && clock.now() - renewedMs >= ttlMs * RENEW_SHARE) void renew();
      },
      release: (read) => {
        if (over) return;
        over = true;
        cancelEnd();
        discovery.leases.release(lease, read);
      },
      lapse: () => {
        over = true;
        cancelEnd();
      },
    };
  }
}

/** The right to read it that nobody was asked for. */
export function unleased(stripe: number): HeldLease {
  const { signal } = new AbortController();
  return { kind: 'held', stripe, signal, progressed() {}, release() {}, lapse() {} };
}
