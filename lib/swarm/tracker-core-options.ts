import { MOST_OWNERS } from './stripes.ts';

/** How a tracker's decision code links members. */
export interface TrackerCoreOptions {
  /** Already joined nodes of its zone that a newcomer is linked to; later ones bring more. @default 3 */
  readonly newcomerLinks: number;
  /** The same for nodes of other zones. @default 2 */
  readonly remoteLinks: number;
  /** A node with fewer neighbours of its zone in a swarm gets so many when it announces again. @default 10 */
  readonly degree: number;
  /** Most neighbours of a node in one swarm. @default 20 */
  readonly degreeCap: number;
  /** Nodes of one swarm that are sent to each of its supernodes at a time. @default 48 */
  readonly seedLinks: number;
  /** Most supernodes of a site that own a blob together; one alone owns a small one. @default 3 */
  readonly ownersPerBlob: number;
  /** Larger than any token that a tracker before this one has given away. @default 1 */
  readonly firstLeaseToken: number;
}

export const DEFAULT_TRACKER_CORE_OPTIONS: TrackerCoreOptions = {
  newcomerLinks: 3,
  remoteLinks: 2,
  degree: 10,
  degreeCap: 20,
  seedLinks: 48,
  ownersPerBlob: MOST_OWNERS,
  firstLeaseToken: 1,
};
