import type { SharedBlob } from './shared-blob.ts';

type Read = Pick<SharedBlob, 'cursor' | 'info' | 'stored'>;

/** The first piece that is missing from where the client stands on, then from the beginning. */
export function firstMissing({ cursor, info, stored }: Read): number | undefined {
  for (let step = 0; step < info.pieces; step++) {
    const piece = (cursor + step) % info.pieces;
    if (!stored.have.has(piece)) return piece;
  }
  return undefined;
}

/**
 * The piece that keeps the client waiting: none while it has yet to take what is here. At its end it waits for the
 * digest, and so for whatever is missing before it.
 */
export function awaitedPiece(blob: Read): number | undefined {
  const next = firstMissing(blob);
  return next === undefined || next > blob.cursor ? undefined : next;
}
