import type { Discovery } from '../../discovery/discovery.ts';
import type { BlobStore } from '../../store/store.ts';

/** Tells the trackers which complete blobs the store brings from before. */
export function announceStored({
  discovery,
  store,
}: {
  readonly discovery: Discovery;
  readonly store: BlobStore;
}): void {
  const complete = store.list().filter((summary) => summary.complete);
  discovery.announce(complete.map(({ info }) => ({ digest: info.digest, size: info.size, have: 'all' })));
}
