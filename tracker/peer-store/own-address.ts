import { isLoopback } from '../../lib/core/loopback.ts';
import type { PeerInfo } from '../../lib/core/node.ts';

/** Another address is told of only when so many times as many members come there: each change is told to all trackers. */
const MANY_MORE = 2;

/**
 * Where other machines reach this one, as far as connections show it: members on the tracker's own machine are on
 * loopback for it, which other trackers would take for theirs. It is where most members have come; while none has, the
 * address of this end of the last connection that we opened.
 */
export class OwnAddress {
  /** Address of this machine -> members that are connected to it, from elsewhere or not. */
  readonly #came = new Map<string, number>();
  #host: string | undefined;
  #dialledFrom: string | undefined;
  readonly #changed: () => void;

  /** @param changed it is another one than it was */
  constructor(changed: () => void = () => {}) {
    this.#changed = changed;
  }

  /** Undefined until an address is seen that is not loopback: until then that is all there is. */
  get host(): string | undefined {
    return this.#host;
  }

  /** A member has come to this address. @returns to be called when it has gone */
  cameTo(local: string | undefined): () => void {
    const address = outward(local);
    if (address === undefined) return () => {};
    this.#count(address, 1);
    return () => this.#count(address, -1);
  }

  /** This is our end of a connection that we have opened. */
  dialledFrom(local: string | undefined): void {
    const address = outward(local);
    if (address === undefined || address === this.#dialledFrom) return;
    this.#dialledFrom = address;
    if (this.#came.size === 0) this.#become(address);
  }

  /** The member as other trackers should tell of it. */
  forOthers(peer: PeerInfo): PeerInfo {
    const local = isLoopback(peer.host) || peer.host === 'localhost';
    return local && this.#host !== undefined ? { ...peer, host: this.#host } : peer;
  }

  #count(address: string, change: 1 | -1): void {
    const count = (this.#came.get(address) ?? 0) + change;
    if (count > 0) this.#came.set(address, count);
    else this.#came.delete(address);
    const [most] = [...this.#came].toSorted(([, one], [, other]) => other - one);
    const told = this.#came.get(this.#host ?? '') ?? 0;
    if (most !== undefined && most[1] > MANY_MORE * told) this.#become(most[0]);
  }

  #become(address: string): void {
    if (address === this.#host) return;
    this.#host = address;
    this.#changed();
  }
}

function outward(address: string | undefined): string | undefined {
  if (address === undefined || address === '' || isLoopback(address)) return undefined;
  return address.replace(/^::ffff:/, '');
}
