import type { Bitfield } from '../core/bitfield.ts';
import type { Logger } from '../observe/log.ts';
import type { DiskFile } from './disk/disk.ts';
import type { HeldPieces } from './held-pieces.ts';
import type { PieceHasher } from './piece-hasher.ts';

/**
 * What a crash left of an unfinished blob: pieces whose proof is recorded are hashed and kept when they match. `sure`:
 * those recorded as held need no look, because what was written is still there (the machine ran on, or all was
 * synced). Pieces that matched are set in `verified`.
 */
export async function checkAfterCrash(input: {
  readonly file: DiskFile;
  readonly pieces: HeldPieces;
  readonly hasher: PieceHasher;
  readonly verified: Bitfield;
  readonly sure: boolean;
  readonly log: Logger;
}): Promise<void> {
  const { file, hasher, log, pieces, sure, verified } = input;
  const { info } = pieces;
  let lost = 0;
  let recovered = 0;
  for (let index = 0; index < info.pieces; index++) {
    const held = pieces.have.has(index);
    if (!pieces.marked.has(index) || (held && sure)) continue;
    if (await hasher.matches(file, info, pieces.proof(index)).catch(() => false)) {
      verified.set(index);
      if (held) continue;
      pieces.hold(index);
      recovered++;
    } else {
      pieces.lose(index);
      if (held) lost++;
    }
  }
  if (lost + recovered === 0) return;
  const facts = { digest: info.digest, lost, recovered, kept: pieces.have.count };
  log.warn(facts, 'hashed what a crash left of a blob');
}
