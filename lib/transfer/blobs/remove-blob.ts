import type { Digest } from '../../core/digest.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { BlobStore } from '../../store/store.ts';

/** Removes a blob from the store, and tells the trackers when it is gone from this node altogether. @throws STORE_* */
export async function removeBlob(
  { discovery, store }: { readonly discovery: Discovery; readonly store: BlobStore },
  digest: Digest,
): Promise<void> {
  await store.remove(digest);
  if (store.get(digest) === undefined) discovery.withdraw([digest]);
}
