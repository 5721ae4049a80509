import type { Announcement, Discovery } from '../discovery/discovery.ts';
import type { Clock } from '../runtime/clock.ts';
import { ASK_AGAIN_MS, ENOUGH_NEIGHBOURS } from '../swarm/joining.ts';
import type { Neighbour } from './neighbour.ts';
import type { SharedBlob } from './shared-blob.ts';

export interface AnnouncementsDeps {
  readonly discovery: Discovery;
  readonly clock: Clock;
}

export interface AnnouncementsHost {
  /** Linked neighbours. */
  neighbours(): readonly Neighbour[];
}

/** What a node tells its trackers of the blobs that it wants, and when. */
export class Announcements {
  readonly #deps: AnnouncementsDeps;
  readonly #host: AnnouncementsHost;

  constructor(deps: AnnouncementsDeps, host: AnnouncementsHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** A client wants the blob: asks for neighbours, and a moment later for more when they are few. */
  join(blob: SharedBlob): void {
    this.#announce(blob, {});
    this.askAgainSoon(blob);
  }

  /** Asks for more neighbours a moment from now, when they are few by then. */
  askAgainSoon(blob: SharedBlob): void {
    this.#deps.clock.after(ASK_AGAIN_MS, () => {
      if (blob.retired || blob.stored.complete) return;
      if (this.#nodes(blob) < ENOUGH_NEIGHBOURS) this.#announce(blob, {});
    });
  }

  /** The neighbours of the blob are of no use: asks for others, and for its supernode. */
  stalled(blob: SharedBlob): void {
    this.#announce(blob, { stalled: true });
  }

  /** Linked nodes that share the blob. */
  #nodes(blob: SharedBlob): number {
    const nodes = this.#host.neighbours().filter(({ peer }) => peer.role === 'node');
    return nodes.filter((node) => node.sharesWithUs(blob.digest)).length;
  }

  #announce({ digest, info, stored }: SharedBlob, more: Pick<Announcement, 'stalled'>): void {
    const have = stored.complete ? 'all' : stored.have.count > 0 ? 'some' : 'none';
    this.#deps.discovery.announce([{ digest, size: info.size, have, ...more }]);
  }
}
