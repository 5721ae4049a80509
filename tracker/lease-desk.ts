import type { Digest } from '../lib/core/digest.ts';
import type { ControlMessage } from '../lib/wire/control-messages.ts';
import type { TrackerMetrics } from './metrics.ts';
import type { PeerStore } from './peer-store/peer-store.ts';

type LeaseQuestion = Extract<ControlMessage, { type: 'lease' | 'renew' }>;
type LeaseReply =
  | Omit<Extract<ControlMessage, { type: 'leased' }>, 'ask'>
  | Omit<Extract<ControlMessage, { type: 'lease-refused' }>, 'ask'>;

export interface LeaseDeskDeps {
  readonly metrics: Pick<TrackerMetrics, 'leaseAnswers'>;
  readonly peerStore: Pick<PeerStore, 'lease' | 'renewLease' | 'releaseLease'>;
  /** By which others believe what the member reads of a blob. Absent in a cluster without identities. */
  readonly warrantFor?: ((member: string, digest: Digest) => readonly string[]) | undefined;
}

/** Answers members that ask whether they may read from a registry, with the warrant that they need for it. */
export class LeaseDesk {
  readonly #deps: LeaseDeskDeps;

  constructor(deps: LeaseDeskDeps) {
    this.#deps = deps;
  }

  /** May the member read, or go on reading, what it asks for? Never rejects. */
  async answer(id: string, message: LeaseQuestion): Promise<LeaseReply> {
    const { metrics, peerStore, warrantFor } = this.#deps;
    const answer =
      message.type === 'renew'
        ? await peerStore.renewLease(id, message.token)
        : await peerStore.lease(id, { ...message, aside: message.aside === true });
    if (answer.kind === 'granted') {
      if (message.type === 'lease') metrics.leaseAnswers.inc({ answer: 'granted' });
      const { stripe, token, ttlMs } = answer;
      const warrant = message.type === 'lease' ? warrantFor?.(id, message.digest) : undefined;
      return { type: 'leased', stripe, token, ttlMs, ...(warrant === undefined ? {} : { warrant }) };
    }
    const { holders, reason, retryMs } = answer;
    metrics.leaseAnswers.inc({ answer: reason });
    return { type: 'lease-refused', reason, retryMs, holders };
  }

  release(id: string, token: number, read: boolean): void {
    this.#deps.peerStore.releaseLease(id, token, read);
  }
}
