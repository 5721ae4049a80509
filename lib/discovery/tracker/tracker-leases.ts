import type { LeaseAnswer, LeaseRef, LeaseWish } from '../../core/lease.ts';
import { rendezvousOwner } from '../../core/rendezvous.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ControlMessage } from '../../wire/control-messages.ts';
import { LEASE_ANSWER_MS, type Leases } from '../leases.ts';

/** Of a TrackerLink, what leases need. */
export interface LeaseLink {
  readonly id: string;
  send(message: ControlMessage): void;
}

interface Question {
  readonly link: LeaseLink;
  answered(answer: LeaseAnswer | undefined): void;
}

/** Asks trackers for leases: the one that a blob belongs to, so that every node asks the same one. */
export class TrackerLeases implements Leases {
  readonly #clock: Clock;
  readonly #offices: () => readonly LeaseLink[];
  readonly #open = new Map<number, Question>();
  #asked = 0;

  /** @param offices the trackers that blobs are divided over now */
  constructor(clock: Clock, offices: () => readonly LeaseLink[]) {
    this.#clock = clock;
    this.#offices = offices;
  }

  ask({ aside, ...wish }: LeaseWish): Promise<LeaseAnswer | undefined> {
    const link = this.#office({ ...wish, aside });
    return this.#question(link, (ask) => ({ type: 'lease', ask, ...wish, ...(aside ? { aside } : {}) }));
  }

  renew(lease: LeaseRef): Promise<LeaseAnswer | undefined> {
    return this.#question(this.#office(lease), (ask) => ({ type: 'renew', ask, token: lease.token }));
  }

  release(lease: LeaseRef, read: boolean): void {
    const { token } = lease;
    this.#office(lease)?.send({ type: 'release', token, ...(read ? { read } : {}) });
  }

  /** A tracker said this. */
  heard(message: Extract<ControlMessage, { type: 'leased' | 'lease-refused' }>): void {
    const question = this.#open.get(message.ask);
    if (message.type === 'leased') {
      const { stripe, token, ttlMs, warrant } = message;
      const shown = warrant === undefined ? {} : { warrant };
      question?.answered({ kind: 'granted', stripe, token, ttlMs, ...shown });
    } else {
      const { holders, reason, retryMs } = message;
      question?.answered({ kind: 'refused', reason, retryMs, holders });
    }
  }

  /** The tracker is gone, and with it what it was asked. */
  lost(link: LeaseLink): void {
    for (const question of [...this.#open.values()]) {
      if (question.link === link) question.answered(undefined);
    }
  }

  /** Who counts those that step aside counts them for the upstream, whatever blob it is. */
  #office({ aside, digest, upstream }: Omit<LeaseRef, 'token'>): LeaseLink | undefined {
    return rendezvousOwner(aside ? upstream : digest, this.#offices());
  }

  #question(
    link: LeaseLink | undefined,
    message: (ask: number) => ControlMessage,
  ): Promise<LeaseAnswer | undefined> {
    if (link === undefined) return Promise.resolve(undefined);
    const ask = ++this.#asked;
    return new Promise((resolve) => {
      const answered = (answer: LeaseAnswer | undefined): void => {
        this.#open.delete(ask);
        cancelTimeout();
        resolve(answer);
      };
      const cancelTimeout = this.#clock.after(LEASE_ANSWER_MS, () => answered(undefined));
      this.#open.set(ask, { link, answered });
      link.send(message(ask));
    });
  }
}
