import { isLoopback } from '../../lib/core/loopback.ts';
import type { PeerInfo } from '../../lib/core/node.ts';

/**
 * Where other machines reach this one, as far as connections have shown it: members on the tracker's own machine are on
 * loopback for it, which other trackers would take for theirs.
 */
export class OwnAddress {
  #host: string | undefined;

  /** Undefined until somebody from another machine has come: then loopback is all there is. */
  get host(): string | undefined {
    return this.#host;
  }

  /** A connection from or to elsewhere has this address here. The first one stays. */
  saw(address: string | undefined): void {
    if (address === undefined || address === '' || isLoopback(address)) return;
    this.#host ??= address.replace(/^::ffff:/, '');
  }

  /** The member as other trackers should tell of it. */
  forOthers(peer: PeerInfo): PeerInfo {
    const local = isLoopback(peer.host) || peer.host === 'localhost';
    return local && this.#host !== undefined ? { ...peer, host: this.#host } : peer;
  }
}
