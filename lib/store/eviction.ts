import type { DiskSpace } from './disk/disk.ts';

/** A blob that may have to make room. */
export interface Evictable {
  readonly info: { readonly size: number };
  readonly heldBytes: number;
  readonly complete: boolean;
  readonly pinned: boolean;
  readonly usedAtMs: number;
}

/** How much the store may hold, and from where on it makes room by itself. */
export interface StoreLimits {
  /** Room for all blobs, each counted with its whole size from the start. Default: as much as the disk holds. */
  readonly maxBytes?: number | undefined;
  /**
   * When more than this share of `maxBytes`, or of the disk, is taken, the collector removes blobs until it is no more
   * than `low`. @default 0.9 and 0.8
   */
  readonly high?: number | undefined;
  readonly low?: number | undefined;
  /** Blobs that were not used for so long go. Default: never. */
  readonly ttlMs?: number | undefined;
}

const DEFAULT_HIGH = 0.9;
const DEFAULT_LOW = 0.8;

/**
 * What to remove so that at least `neededBytes` become free: complete blobs before partial ones (a pull that was cut
 * short is likely to come back soon, and its pieces are nowhere else on this node), those unused for longest first.
 * Pinned ones stay.
 * @param frees bytes that a blob makes free
 * @returns undefined when even all of them are not enough; then nothing should go
 */
export function chooseVictims<T extends Evictable>(
  unused: readonly T[],
  neededBytes: number,
  frees: (blob: T) => number,
): T[] | undefined {
  const { victims, freedBytes } = victimsFor(unused, neededBytes, frees);
  return freedBytes >= neededBytes ? victims : undefined;
}

/** What the collector removes now: first what is too old, then as {@link chooseVictims}, as much as there is. */
export function chooseGarbage<T extends Evictable>(
  unused: readonly T[],
  state: { readonly reservedBytes: number; readonly space: DiskSpace; readonly nowMs: number },
  limits: StoreLimits,
): T[] {
  const ttlMs = limits.ttlMs ?? Number.POSITIVE_INFINITY;
  const old = unused.filter((blob) => !blob.pinned && state.nowMs - blob.usedAtMs > ttlMs);
  const gone = new Set(old);
  const left = unused.filter((blob) => !gone.has(blob));
  const sum = (frees: (blob: T) => number): number => old.reduce((bytes, blob) => bytes + frees(blob), 0);
  const quota = excess(
    state.reservedBytes - sum(reserved),
    limits.maxBytes ?? Number.POSITIVE_INFINITY,
    limits,
  );
  const byQuota = victimsFor(left, quota, reserved).victims;
  const usedBytes = state.space.totalBytes - state.space.freeBytes;
  const disk = excess(usedBytes - sum(held), state.space.totalBytes, limits);
  const byDisk = victimsFor(left, disk, held).victims;
  // Both lists begin alike.
  return [...old, ...(byQuota.length > byDisk.length ? byQuota : byDisk)];
}

export function reserved(blob: Evictable): number {
  return blob.info.size;
}

export function held(blob: Evictable): number {
  return blob.heldBytes;
}

/** Bytes above the low mark, once the high one is passed. */
function excess(usedBytes: number, roomBytes: number, { high, low }: StoreLimits): number {
  if (!Number.isFinite(roomBytes) || usedBytes <= roomBytes * (high ?? DEFAULT_HIGH)) return 0;
  return usedBytes - roomBytes * (low ?? DEFAULT_LOW);
}

function victimsFor<T extends Evictable>(
  unused: readonly T[],
  neededBytes: number,
  frees: (blob: T) => number,
): { readonly victims: T[]; readonly freedBytes: number } {
  const victims: T[] = [];
  let freedBytes = 0;
  if (neededBytes > 0) {
    const inOrder = unused
      .filter((blob) => !blob.pinned)
      .sort((a, b) => Number(b.complete) - Number(a.complete) || a.usedAtMs - b.usedAtMs);
    for (const blob of inOrder) {
      if (freedBytes >= neededBytes) break;
      victims.push(blob);
      freedBytes += frees(blob);
    }
  }
  return { victims, freedBytes };
}
