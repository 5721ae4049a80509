import type { Digest } from '../../core/digest.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import type { BlobStore } from '../../store/store.ts';

const LOOK_MS = 15_000;

/**
 * Keeps telling the trackers which borrowed blobs came and went since the store was announced.
 * @returns ends it
 */
export function announceBorrowed({
  clock,
  discovery,
  store,
}: {
  readonly clock: Clock;
  readonly discovery: Discovery;
  readonly store: BlobStore;
}): () => void {
  const borrowed = (): Map<Digest, number> =>
    new Map(
      store.list().flatMap((blob) => (blob.borrowed === true ? [[blob.info.digest, blob.info.size]] : [])),
    );
  let told = borrowed();
  return every(clock, LOOK_MS, () => {
    const now = borrowed();
    const fresh = [...now].filter(([digest]) => !told.has(digest));
    const gone = [...told.keys()].filter((digest) => store.get(digest) === undefined);
    if (fresh.length > 0) {
      discovery.announce(fresh.map(([digest, size]) => ({ digest, size, have: 'all' })));
    }
    if (gone.length > 0) discovery.withdraw(gone);
    told = now;
  });
}
