// SKELETON: signatures are final, bodies follow.
import type { PeerInfo } from '../core/node.ts';
import type { Rng } from '../runtime/rng.ts';

/** How a {@link TrackerCore} links members. */
export interface TrackerCoreOptions {
  /** Already joined nodes of the same zone that a newcomer is linked to. @default 5 */
  readonly newcomerLinks: number;
  /** The same for nodes of other zones. @default 2 */
  readonly remoteLinks: number;
  /** A node with fewer living neighbours in a swarm gets new ones when it announces again. @default 6 */
  readonly repairBelow: number;
  /** Most neighbours of a node in one swarm. @default 20 */
  readonly degreeCap: number;
  /** Nodes of one swarm that are linked to each of its supernodes at a time. @default 32 */
  readonly seedLinks: number;
  /** Supernodes that own a blob together. @default 1 */
  readonly ownersPerBlob: number;
}

/** What a member tells about its pieces of a blob. */
export interface AnnounceState {
  readonly have: 'none' | 'some' | 'all';
  /** Its neighbours are of no use: give it others, and the owning supernodes. */
  readonly stalled?: boolean;
}

/** Who is in the cluster, who shares which blob, and who should talk to whom. Pure; time in milliseconds. */
export class TrackerCore {
  constructor(_options: Partial<TrackerCoreOptions>, _rng: Rng) {}

  /** Adds the member, or updates its address; a known id keeps its swarms. */
  join(_member: PeerInfo, _now: number): void {}
  leave(_id: string, _now: number): void {}
  /** The member lives. */
  seen(_id: string, _now: number): void {}
  /** Removes members not seen for `ttlMs`. @returns their ids */
  expire(_now: number, _ttlMs: number): string[] {
    return [];
  }
  /**
   * The member shares the blob, or repeats so. @returns whom it should connect to: owning supernodes first, then nodes;
   * never itself; empty for an unknown id and for one that has all.
   */
  announce(_id: string, _digestKey: string, _state: AnnounceState, _now: number): readonly PeerInfo[] {
    return [];
  }
  withdraw(_id: string, _digestKey: string): void {}
  member(_id: string): PeerInfo | undefined {
    return undefined;
  }
  /** Live supernodes, in the order they joined. */
  readonly supernodes: readonly PeerInfo[] = [];
  /** Supernodes that own the blob, by rendezvous hashing. */
  owners(_digestKey: string): readonly PeerInfo[] {
    return [];
  }
  /** Grows by one whenever the set of supernodes changes. */
  readonly epoch: number = 0;
  get counts(): { readonly members: number; readonly swarms: number; readonly links: number } {
    return { members: 0, swarms: 0, links: 0 };
  }
}
