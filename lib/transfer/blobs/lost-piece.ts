import type { Metrics } from '../../observe/metrics.ts';
import { heldPieces } from '../peers/conversation.ts';
import type { SharedBlob } from './shared-blob.ts';

/** A piece on disk turned out wrong and is gone: the core, which can only forget all, hears again of those held. */
export function forgetLost(
  blob: SharedBlob,
  { piecesRejected }: Metrics,
  core: { lost(slot: number): void },
  holds: (piece: number) => void,
): void {
  piecesRejected.inc({ reason: 'disk' });
  blob.restartCheck();
  core.lost(blob.slot);
  for (const piece of heldPieces(blob)) holds(piece);
  // Without readers it can wait for the next one, who begins anew.
  if (blob.readers === 0) blob.origin = undefined;
}
