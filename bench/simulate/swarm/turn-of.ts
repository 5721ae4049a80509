import { readerOf } from '../../../lib/swarm/stripes.ts';
import type { Scenario } from '../scenario.ts';

/** Whose the piece is, of those who have the turns: stripes in turn, or where the profile says so single pieces. */
export function turnOf(
  { blobs, profile }: Pick<Scenario, 'blobs' | 'profile'>,
  turns: readonly number[],
  blob: number,
  piece: number,
): number | undefined {
  const { bytes, pieceBytes } = blobs[blob]!;
  if (!profile.stripes) return turns[piece % turns.length];
  return readerOf(turns, { pieceBytes, size: bytes }, piece);
}
