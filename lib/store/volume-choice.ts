import type { Digest } from '../core/digest.ts';
import { hash53 } from '../core/rendezvous.ts';

export interface WeightedFolder {
  readonly folder: string;
  /** Share of the blobs, compared with the weights of the others; above 0. */
  readonly weight: number;
}

/**
 * The folders in the order in which they should have the blob: weighted rendezvous hashing (Schindelhauer & Schomaker
 * 2005, logarithmic method). Each is first for its share of the digests, and one that comes or goes moves only its own.
 */
export function rankFolders<T extends WeightedFolder>(digest: Digest, folders: readonly T[]): T[] {
  const score = ({ folder, weight }: T): number =>
    weight / -Math.log((hash53(`${digest}\n${folder}`) + 0.5) / 2 ** 53);
  return folders
    .map((each) => ({ each, score: score(each) }))
    .sort((a, b) => b.score - a.score || (a.each.folder < b.each.folder ? -1 : 1))
    .map(({ each }) => each);
}
