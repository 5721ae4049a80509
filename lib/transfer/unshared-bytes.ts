import { pieceLength } from '../core/geometry.ts';
import type { SeedCore } from '../swarm/seed-core.ts';
import type { CoOwners } from './co-owners.ts';
import type { SharedBlob } from './shared-blob.ts';

/** Bytes of pieces of the blob that nodes wait for and that are with this supernode alone. */
export function unsharedBytes(blob: SharedBlob, core: SeedCore, coOwners: Pick<CoOwners, 'holders'>): number {
  if (core.spread(blob.slot).lackers === 0) return 0;
  let bytes = 0;
  for (let piece = 0; piece < blob.info.pieces; piece++) {
    if (!core.has(blob.slot, piece)) continue;
    const holders = core.holders(blob.slot, piece) + coOwners.holders(blob, piece);
    if (holders === 0) bytes += pieceLength(blob.info, piece);
  }
  return bytes;
}
