/** A blob that may have to make room. */
export interface Evictable {
  readonly info: { readonly size: number };
  readonly complete: boolean;
  readonly usedAtMs: number;
}

/**
 * What to remove so that at least `neededBytes` become free: complete blobs before partial ones (a pull that was cut
 * short is likely to come back soon, and its pieces are nowhere else on this node), those unused for longest first.
 * @returns undefined when even all of them are not enough; then nothing should go
 */
export function chooseVictims<T extends Evictable>(
  unused: readonly T[],
  neededBytes: number,
): T[] | undefined {
  const victims: T[] = [];
  let freedBytes = 0;
  const inOrder = [...unused].sort(
    (a, b) => Number(b.complete) - Number(a.complete) || a.usedAtMs - b.usedAtMs,
  );
  for (const blob of inOrder) {
    if (freedBytes >= neededBytes) break;
    victims.push(blob);
    freedBytes += blob.info.size;
  }
  return freedBytes >= neededBytes ? victims : undefined;
}
