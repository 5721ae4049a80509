import { BoundedMap } from '../../core/bounded-map.ts';
import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ReverseDialer } from '../seams.ts';

/** Connections being opened at once, to everybody and to one peer: more than a node has downloads under way. */
const MAX_OPENING = 64;
const MAX_OPENING_PER_PEER = 16;
const CONNECT_TIMEOUT_MS = 3000;
/** After one that failed a peer asks in vain for so long: it could name any port. */
const ASK_AGAIN_AFTER_MS = 2000;
/** Peers that said that they cannot dial us; the one heard longest ago is forgotten first. */
const MAX_REMEMBERED = 1024;

export interface ReversalsDeps {
  readonly network: ReverseDialer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Our id. */
  readonly self: () => string;
}

/** Opens connections to peers that cannot dial us, when they ask for it, and remembers who they are. */
export class Reversals {
  readonly #deps: ReversalsDeps;
  readonly #undialled = new BoundedMap<true>(MAX_REMEMBERED);
  readonly #notBefore = new BoundedMap<number>(MAX_REMEMBERED);
  readonly #ending = new AbortController();
  /** Peer -> connections being opened to it. */
  readonly #opening = new Map<string, number>();

  constructor(deps: ReversalsDeps) {
    this.#deps = deps;
  }

  /** The peer cannot dial us, as it or a tracker says. */
  noteUndialled(id: string): void {
    this.#undialled.set(id, true);
  }

  /** It has dialled us. */
  noteDialled(id: string): void {
    this.#undialled.delete(id);
  }

  /** Whether the peer cannot dial us, as far as we have heard. */
  cannotDialUs(id: string): boolean {
    return this.#undialled.get(id) === true;
  }

  /** How many of those that cannot dial us are such. Looks at no more than are remembered, however many links there are. */
  countUndialled(isSuch: (id: string) => boolean): number {
    let count = 0;
    for (const id of this.#undialled.keys()) if (isSuch(id)) count++;
    return count;
  }

  /** A neighbour asks for a connection on which it asks us for pieces. */
  asked(peer: PeerInfo): void {
    this.noteUndialled(peer.id);
    if ((this.#notBefore.get(peer.id) ?? 0) > this.#deps.clock.now()) return;
    const toIt = this.#opening.get(peer.id) ?? 0;
    const all = [...this.#opening.values()].reduce((sum, count) => sum + count, 0);
    if (toIt >= MAX_OPENING_PER_PEER || all >= MAX_OPENING || this.#ending.signal.aborted) return;
    this.#opening.set(peer.id, toIt + 1);
    void this.#open(peer).finally(() => {
      const left = (this.#opening.get(peer.id) ?? 1) - 1;
      if (left > 0) this.#opening.set(peer.id, left);
      else this.#opening.delete(peer.id);
    });
  }

  async #open({ host, id, port }: PeerInfo): Promise<void> {
    const { clock, log, metrics, network, self } = this.#deps;
    const timeout = new AbortController();
    const late = new DamselflyError('PEER_UNREACHABLE', `no answer within ${CONNECT_TIMEOUT_MS} ms`);
    const cancel = clock.after(CONNECT_TIMEOUT_MS, () => timeout.abort(late));
    try {
      const signal = AbortSignal.any([timeout.signal, this.#ending.signal]);
      await network.connectBack({ address: { host, port }, peer: id, from: self() }, { signal });
      metrics.reversedConnections.inc({ outcome: 'opened' });
    } catch (error) {
      this.#notBefore.set(id, clock.now() + ASK_AGAIN_AFTER_MS);
      metrics.reversedConnections.inc({ outcome: 'failed' });
      log.debug({ peer: id, host, port, error: describeError(error) }, 'no connection back to a peer');
    } finally {
      cancel();
    }
  }

  close(): void {
    this.#ending.abort(new DamselflyError('ABORTED', 'stopping'));
  }
}
