import { pieceLength } from '../../core/geometry.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { SeedCore } from '../../swarm/seed-core.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { CoOwners } from './co-owners.ts';

/** A process that is told to stop has five seconds. */
const DRAIN_MS = 3000;
const LOOK_MS = 50;

/**
 * Lets a supernode that stops give to nodes what they wait for and nobody else holds, so that its successor need not read
 * that again. Takes no longer than three seconds.
 */
export async function untilShared(clock: Clock, unshared: () => number): Promise<void> {
  const untilMs = clock.now() + DRAIN_MS;
  while (clock.now() < untilMs && unshared() > 0) await delay(clock, LOOK_MS);
}

/** Bytes of pieces that nodes wait for and that are with this supernode alone. */
export function unsharedBytes(
  blobs: readonly SharedBlob[],
  core: SeedCore,
  coOwners: Pick<CoOwners, 'holders'>,
): number {
  let bytes = 0;
  for (const blob of blobs) {
    if (core.spread(blob.slot).lackers === 0) continue;
    for (let piece = 0; piece < blob.info.pieces; piece++) {
      if (!core.has(blob.slot, piece)) continue;
      const holders = core.holders(blob.slot, piece) + coOwners.holders(blob, piece);
      if (holders === 0) bytes += pieceLength(blob.info, piece);
    }
  }
  return bytes;
}
