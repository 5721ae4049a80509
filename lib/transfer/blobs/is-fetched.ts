import type { PeerCore } from '../../swarm/peer-core.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { SharedBlob } from './shared-blob.ts';

/** Whether a client, a neighbour or we ourselves are in the middle of getting the blob. */
export function isFetched(blob: SharedBlob, core: PeerCore, neighbours: readonly Neighbour[]): boolean {
  if (blob.readers > 0 || blob.uploads > 0 || core.inFlight(blob.slot) > 0) return true;
  return neighbours.some(({ peer, slot }) => peer.role === 'node' && core.peerLacks(slot, blob.slot));
}
