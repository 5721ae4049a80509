import { ANSWERED_AT_ONCE } from '../../../lib/swarm/joining.ts';
import { Happens } from './events.ts';
import type { World } from './world.ts';

/**
 * What a node tells the tracker. Of a crowd's newcomers the tracker first only reads the message (`enters`), or answers
 * its first blob too (`first`); the answer that is left is `whole` or the `rest`.
 */
export const Says = {
  joins: 0,
  enters: 1,
  first: 2,
  whole: 3,
  rest: 4,
  again: 5,
  stalls: 6,
  complete: 7,
} as const;
/** All layers of the image in one message. */
export const ALL_BLOBS = -1;

/** After an outage of the tracker nodes come back within this time, milliseconds, not all at once. */
const COME_BACK_MS = 500;

/** What came from a node. */
export interface Message {
  readonly node: number;
  readonly blob: number;
  readonly says: number;
}

/**
 * Announcements wait in line at the tracker. As in tracker/announce-queue a crowd's newcomers are read before anything
 * else, and answered, the last one first, before all others.
 */
export class TrackerLine {
  readonly #world: World;
  readonly #answer: (message: Message) => void;
  #newcomers: Message[] = [];
  /** Read, but not answered. */
  readonly #entered: Message[] = [];
  #others: Message[] = [];
  /** Next ones in line. */
  #newcomer = 0;
  #other = 0;
  #busy = false;
  /** Newcomers that came to a line. */
  #crowd = 0;

  /** @param answer the tracker reads the message and answers */
  constructor(world: World, answer: (message: Message) => void) {
    this.#world = world;
    this.#answer = answer;
  }

  /** A node says something; it is on its way. */
  send(node: number, blob: number, says: number): void {
    const { profile, latencyMs } = this.#world.scenario;
    const { wheel } = this.#world;
    wheel.add(wheel.now + (profile.joinTakesTime ? latencyMs : 0), Happens.announce, node, blob, says, 0);
  }

  /** The tracker does not answer now. */
  get down(): boolean {
    const { trackerDown } = this.#world.scenario;
    const { now } = this.#world.wheel;
    return trackerDown !== undefined && now >= trackerDown.atMs && now < trackerDown.atMs + trackerDown.forMs;
  }

  /** The message has come to the tracker. */
  arrived(node: number, blob: number, says: number): void {
    const { length: layers } = this.#world.scenario.blobs;
    if (says === Says.joins && this.#busy && layers > 1) {
      const answered = this.#crowd++ % ANSWERED_AT_ONCE === 0;
      this.#newcomers.push({ node, blob: 0, says: answered ? Says.first : Says.enters });
      if (answered) this.#others.push({ node, blob: ALL_BLOBS, says: Says.rest });
      else this.#entered.push({ node, blob: ALL_BLOBS, says: Says.whole });
    } else (says === Says.joins ? this.#newcomers : this.#others).push({ node, blob, says });
    if (!this.#busy) this.#proceed();
  }

  /** The tracker is done with a message, and takes the next one. */
  answered(node: number, blob: number, says: number): void {
    this.#busy = false;
    this.#answer({ node, blob, says });
    this.#proceed();
  }

  #proceed(): void {
    const { scenario, wheel, rng } = this.#world;
    for (;;) {
      const message = this.#next();
      if (message === undefined) return;
      const { node, blob, says } = message;
      if (this.down) {
        const { atMs, forMs } = scenario.trackerDown!;
        const backMs = atMs + forMs + rng.float() * COME_BACK_MS;
        wheel.add(backMs, Happens.announce, node, blob, says, 0);
        continue;
      }
      const costMs = this.#costMs(message);
      if (costMs === 0) {
        this.#answer(message);
        continue;
      }
      this.#busy = true;
      wheel.add(wheel.now + costMs, Happens.answered, node, blob, says, 0);
      return;
    }
  }

  #next(): Message | undefined {
    if (this.#newcomer < this.#newcomers.length) return this.#newcomers[this.#newcomer++];
    if (this.#newcomer > 0) this.#newcomers = [];
    this.#newcomer = 0;
    const entered = this.#entered.pop();
    if (entered !== undefined) return entered;
    if (this.#other < this.#others.length) return this.#others[this.#other++];
    if (this.#other > 0) this.#others = [];
    this.#other = 0;
    return undefined;
  }

  #costMs({ blob, says }: Message): number {
    const { blobs, profile } = this.#world.scenario;
    const count = blob === ALL_BLOBS ? blobs.length - (says === Says.rest ? 1 : 0) : 1;
    // What is only read, what has been read, and what gets no answer.
    const half = says === Says.enters || says === Says.whole || says === Says.rest || says === Says.complete;
    const messages = half ? 1 : 2;
    return profile.messageMs * messages + profile.announceMs * count;
  }
}
