import type { Geometry } from '../core/geometry.ts';

/** A blob that a client reads. */
export interface ReadBlob {
  readonly info: Geometry;
  /** The piece that the client is at. */
  readonly cursor: number;
  readonly stored: { readonly have: { has(piece: number): boolean } };
}

/** The first piece that is missing from where the client stands on, then from the beginning. */
export function firstMissing({ cursor, info, stored }: ReadBlob): number | undefined {
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
export function awaitedPiece(blob: ReadBlob): number | undefined {
  const next = firstMissing(blob);
  return next === undefined || next > blob.cursor ? undefined : next;
}
