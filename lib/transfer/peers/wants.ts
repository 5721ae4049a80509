import type { PeerInfo } from '../../core/node.ts';
import { hash53 } from '../../core/rendezvous.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { awaitedPiece } from '../../swarm/awaited-piece.ts';
import { asksSeed } from '../../swarm/patience.ts';
import type { Slots } from '../../wire/peer-messages.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { isSupernode, type Neighbour } from './neighbour.ts';

export interface WantsDeps {
  readonly self: () => Pick<PeerInfo, 'id'>;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'wants'>;
}

export interface WantsHost {
  /** Whether the piece is neither here nor on its way. */
  lacks(blob: SharedBlob, piece: number): boolean;
  neighbours(): readonly Neighbour[];
  /** Our free slots, as far as this neighbour may have them. */
  slots(neighbour: Neighbour): Slots;
}

/**
 * Asks the supernodes of a blob for the one piece that a client waits for. They give each piece once and leave the rest
 * to the swarm: whoever was given this one may be gone, slow, or send wrong bytes. All its owners are asked, since each
 * holds it in the end; the offers that come second are declined.
 */
export class Wants {
  readonly #deps: WantsDeps;
  readonly #host: WantsHost;

  constructor(deps: WantsDeps, host: WantsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** To be called about every 50 ms. */
  look(blob: SharedBlob): void {
    const { clock, metrics } = this.#deps;
    const { asked, digest, failure, handle, owners, peerRight, readers, stored, waitingSinceMs } = blob;
    if (readers === 0 || peerRight !== 'shown' || stored.complete || failure !== undefined) return;
    const now = clock.now();
    const askedMs = now - (asked?.atMs ?? Number.NEGATIVE_INFINITY);
    if (!asksSeed(now - waitingSinceMs, askedMs, this.#share(blob))) return;
    const piece = awaitedPiece(blob);
    if (piece === undefined || !this.#host.lacks(blob, piece)) return;
    let told = false;
    for (const each of this.#host.neighbours()) {
      if (!isSupernode(each) || !owners.has(each.peer.id) || !each.sharesWithUs(digest)) continue;
      // One of an older version skips it.
      each.send({ type: 'want', handle, index: piece, slots: this.#host.slots(each) });
      told = true;
    }
    if (!told) return;
    blob.asked = { piece, atMs: now };
    metrics.wants.inc();
  }

  /** A number in [0, 1) that differs from node to node and blob to blob. */
  #share({ digest }: SharedBlob): number {
    return hash53(`${this.#deps.self().id}\n${digest}\nwant`) / 2 ** 53;
  }
}
