import type { Geometry } from '../core/geometry.ts';

const MIB = 1024 * 1024;
const STRIPE_BYTES = 64 * MIB;
/** Of blobs below {@link LARGE_BLOB_BYTES}. */
const SMALL_STRIPE_BYTES = 16 * MIB;
const LARGE_BLOB_BYTES = 1024 * MIB;
/** A blob of so many stripes is read by one supernode: a second one would begin when the first is nearly through. */
const FEW_STRIPES = 2;
/** Supernodes that read one blob from the registry between them. */
export const MOST_OWNERS = 3;
/** Turns in which stripes are dealt out, of which one, two or three owners each have as many. */
export const TURNS = 6;

function stripeBytes(size: number): number {
  return size < LARGE_BLOB_BYTES ? SMALL_STRIPE_BYTES : STRIPE_BYTES;
}

/** Whether one supernode alone reads a blob of that size, bytes. */
export function isUndivided(size: number): boolean {
  return size <= FEW_STRIPES * stripeBytes(size);
}

/** Number of the stripe that the piece is in. */
export function stripeOf({ pieceBytes, size }: Pick<Geometry, 'pieceBytes' | 'size'>, piece: number): number {
  return Math.floor((piece * pieceBytes) / stripeBytes(size));
}

/** Whose the piece is to read. @param turns as {@link dealTurns} gave them */
export function readerOf<T>(
  turns: readonly T[],
  geometry: Pick<Geometry, 'pieceBytes' | 'size'>,
  piece: number,
): T | undefined {
  return turns[stripeOf(geometry, piece) % turns.length];
}

/**
 * Who reads in which turn; stripes are read in turns, one after the other and round again. Owners that live keep theirs,
 * whoever else comes, so that no read under way changes hands; the turns of the others go to whoever has fewest.
 * @param before who had each turn, or undefined where that one is gone; empty for a new blob
 * @param ranked all that live, whoever should own the blob first
 * @param most owners
 */
export function dealTurns<T extends object | string>(
  before: readonly (T | undefined)[],
  ranked: readonly T[],
  most: number,
): readonly T[] {
  const owners = new Set(before.filter((owner) => owner !== undefined));
  for (const next of ranked) if (owners.size < most) owners.add(next);
  if (owners.size === 0) return [];
  const turns = new Map([...owners].map((owner) => [owner, before.filter((each) => each === owner).length]));
  // With another number of turns every stripe would be in another one.
  const fresh = owners.size <= MOST_OWNERS ? TURNS : owners.size;
  const count = before.length === 0 ? fresh : before.length;
  return Array.from({ length: count }, (_, turn) => {
    const keeper = before[turn];
    if (keeper !== undefined) return keeper;
    const [next, already] = [...turns].reduce((fewest, each) => (each[1] < fewest[1] ? each : fewest));
    turns.set(next, already + 1);
    return next;
  });
}
