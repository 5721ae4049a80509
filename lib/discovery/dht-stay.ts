import type { Clock } from '../runtime/clock.ts';
import type { DhtDiscovery } from './libp2p/dht-discovery.ts';

/** The DHT is given so long to be joined, */
const JOIN_MS = 2000;
/** and then to meet its supernodes, before what it does not know is taken for true. */
const SETTLE_MS = 5000;
/** Once trackers are back, or nobody asks for it any more, the DHT is left after this. */
const LINGER_MS = 5 * 60_000;

export interface DhtStayHost {
  /** Begins to join. */
  open(): DhtDiscovery;
  /** It is what {@link DhtStay.dht} says now. */
  joined(dht: DhtDiscovery): void;
  /** Whether nobody needs it any more. */
  mayLeave(): boolean;
  left(): void;
}

/** A process in the DHT: from when it joins until nobody has needed that for a while, and perhaps again. */
export class DhtStay {
  readonly #clock: Clock;
  readonly #host: DhtStayHost;
  #dht: DhtDiscovery | undefined;
  /** When it was opened, and when its first member was there. */
  #openedMs = Number.NEGATIVE_INFINITY;
  #reachedMs = Number.NEGATIVE_INFINITY;
  #cancelLeave = (): void => {};

  constructor(clock: Clock, host: DhtStayHost) {
    this.#clock = clock;
    this.#host = host;
  }

  get dht(): DhtDiscovery | undefined {
    return this.#dht;
  }

  /** Its first member is not there yet, and should be soon. */
  get isJoining(): boolean {
    return this.#reachedMs < this.#openedMs && this.#within(JOIN_MS, this.#openedMs);
  }

  /** It has had the time to meet all supernodes. */
  get isSettled(): boolean {
    return this.#dht?.reachable === true && !this.#within(SETTLE_MS, this.#reachedMs);
  }

  /** Does nothing when it has begun already. */
  join(): DhtDiscovery {
    if (this.#dht !== undefined) return this.#dht;
    const dht = this.#host.open();
    this.#dht = dht;
    this.#openedMs = this.#clock.now();
    this.#host.joined(dht);
    return dht;
  }

  /** A member of it is there. */
  reached(): void {
    this.#reachedMs = this.#clock.now();
  }

  /** It is not needed from now on, but may be soon again. */
  leaveLater(): void {
    this.#cancelLeave();
    this.#cancelLeave = this.#clock.after(LINGER_MS, () => {
      const dht = this.#dht;
      if (dht === undefined || !this.#host.mayLeave()) return;
      this.#dht = undefined;
      void dht.close();
      this.#host.left();
    });
  }

  async close(): Promise<void> {
    this.#cancelLeave();
    await this.#dht?.close();
  }

  #within(ms: number, sinceMs: number): boolean {
    return this.#clock.now() - sinceMs < ms;
  }
}
