import type { PeerInfo } from '../../core/node.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import {
  ASK_AGAIN_MS,
  ENOUGH_NEIGHBOURS,
  ENOUGH_TRUSTED_NEIGHBOURS,
  TOO_FEW_NEIGHBOURS,
} from '../../swarm/joining.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { Neighbour } from './neighbour.ts';

/** Nodes that lost their supernode ask for its successor within this time, the others when discovery does. */
const ORPHAN_JITTER_MS = 50;

export interface AnnouncementsDeps {
  readonly discovery: Discovery;
  readonly clock: Clock;
  readonly rng: Rng;
}

export interface AnnouncementsHost {
  /** Our own. */
  zone(): string;
  /** Linked neighbours. */
  neighbours(): readonly Neighbour[];
  /** Peers that are being dialled. */
  dialling(): readonly PeerInfo[];
}

/** What a node tells its trackers of the blobs that it wants, and when. */
export class Announcements {
  readonly #deps: AnnouncementsDeps;
  readonly #host: AnnouncementsHost;

  /** Blobs that were announced as by a newcomer, and not answered yet. */
  readonly #newcomers = new WeakSet<SharedBlob>();

  constructor(deps: AnnouncementsDeps, host: AnnouncementsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** A client wants the blob: asks for neighbours. */
  join(blob: SharedBlob): void {
    this.#newcomers.add(blob);
    this.#announce(blob, false);
  }

  /** The tracker named neighbours: when it took us for a newcomer, a moment later we ask for more if few are near. */
  answered(blob: SharedBlob): void {
    if (this.#newcomers.delete(blob)) this.#askAgainSoon(blob);
  }

  /** The neighbours of the blob are of no use: asks for others, and for its supernode. */
  stalled(blob: SharedBlob): void {
    this.#announce(blob, true);
  }

  /** A tracker takes us for a newcomer. Discovery itself repeats what was announced. */
  connected(blobs: readonly SharedBlob[]): void {
    for (const blob of blobs) if (isWanted(blob)) this.#newcomers.add(blob);
  }

  /** Its links end here, or nothing is taken from it any more: whatever it was the only source of, or nearly so, needs others. */
  lost(neighbour: Neighbour, blobs: readonly SharedBlob[]): void {
    const enough = neighbour.distrusted ? ENOUGH_TRUSTED_NEIGHBOURS : TOO_FEW_NEIGHBOURS;
    for (const blob of blobs) {
      if (!isWanted(blob) || !neighbour.sharesWithUs(blob.digest)) continue;
      const owned = blob.owners.has(neighbour.peer.id);
      if (owned || this.#sharingNodes(blob).length < enough) this.stalled(blob);
    }
  }

  /** A blob of which a supernode is gone may have another one. */
  supernodesChanged(blobs: readonly SharedBlob[]): void {
    const orphans = blobs.filter((blob) => this.#isOrphan(blob));
    if (orphans.length === 0) return;
    this.#deps.clock.after(this.#deps.rng.float() * ORPHAN_JITTER_MS, () => {
      for (const blob of orphans) if (this.#isOrphan(blob)) this.#announce(blob, false);
    });
  }

  #askAgainSoon(blob: SharedBlob): void {
    this.#deps.clock.after(ASK_AGAIN_MS, () => {
      if (blob.retired || blob.stored.complete) return;
      const chosen = this.#host.dialling().filter(({ id, role }) => role === 'node' && blob.chosen.has(id));
      const zone = this.#host.zone();
      const near = [...this.#sharingNodes(blob).map(({ peer }) => peer), ...chosen].filter(
        (peer) => peer.zone === zone,
      );
      if (near.length < ENOUGH_NEIGHBOURS) this.#announce(blob, false);
    });
  }

  /** One of its supernodes is not here, or not any more. */
  #isOrphan(blob: SharedBlob): boolean {
    if (!isWanted(blob) || blob.owners.size === 0) return false;
    const owners = this.#host.neighbours().filter(({ peer }) => blob.owners.has(peer.id));
    return owners.filter((owner) => owner.sharesWithUs(blob.digest)).length < blob.owners.size;
  }

  #sharingNodes(blob: SharedBlob): readonly Neighbour[] {
    const nodes = this.#host
      .neighbours()
      .filter(({ distrusted, peer }) => peer.role === 'node' && !distrusted);
    return nodes.filter((node) => node.sharesWithUs(blob.digest));
  }

  #announce({ digest, info, stored }: SharedBlob, stalled: boolean): void {
    const have = stored.complete ? 'all' : stored.have.count > 0 ? 'some' : 'none';
    this.#deps.discovery.announce([{ digest, size: info.size, have, ...(stalled ? { stalled } : {}) }]);
  }
}

function isWanted(blob: SharedBlob): boolean {
  return blob.readers > 0 && !blob.retired && !blob.stored.complete;
}
