import type { PeerInfo } from '../../core/node.ts';
import type { BlobKey } from '../../wire/member-codec.ts';
import type { Announcement } from '../discovery.ts';

/** Nodes that a newcomer is told of for one blob, and how many more whenever it is stalled. */
const NEIGHBOURS = 10;
const MORE_NEIGHBOURS = 6;
/** Others that are kept for then. */
const MAX_SPARE = 32;

/** A blob that this process shares, and whom it was told of for it. */
export class SoughtBlob {
  announcement: Announcement;
  readonly key: BlobKey;
  /** A search is under way, and another one is to follow. */
  seeking = false;
  again = false;
  /** Ids of nodes that it was told of since it last asked anew, and of how many it may be. */
  readonly #told = new Set<string>();
  #most = NEIGHBOURS;
  #spare: PeerInfo[] = [];

  constructor(announcement: Announcement, key: BlobKey) {
    this.announcement = announcement;
    this.key = key;
  }

  /** It is asked for, as by a newcomer, or because those that it was told of are of no use. */
  asked(stalled: boolean): void {
    if (!stalled) this.#told.clear();
    this.#most = stalled ? this.#told.size + MORE_NEIGHBOURS : NEIGHBOURS;
  }

  get toldNobody(): boolean {
    return this.#told.size === 0;
  }

  /** The node shares it. @returns whether it is to be told of; others are kept for later */
  found(peer: PeerInfo): boolean {
    const spare = this.#spare;
    if (this.#told.has(peer.id)) return false;
    if (this.#told.size < this.#most) {
      this.#told.add(peer.id);
      return true;
    }
    if (spare.length < MAX_SPARE && !spare.some(({ id }) => id === peer.id)) spare.push(peer);
    return false;
  }

  /** Those that were kept. */
  takeSpare(): readonly PeerInfo[] {
    return this.#spare.splice(0);
  }
}
