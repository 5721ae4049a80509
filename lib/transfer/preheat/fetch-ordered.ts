import type { BlobRequest } from '../../core/blob-source.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import { onOwnAccount } from '../../origin/own-authorization.ts';
import type { BlobStore } from '../../store/store.ts';

export interface FetchOrderedDeps {
  readonly origin: Pick<OriginClient, 'ownAuthorization'>;
  readonly store: Pick<BlobStore, 'get'>;
  /** Whether peers give blobs only to those that show the right to them. */
  readonly needsCapabilities: boolean;
  /** Brings a whole blob here. */
  readonly preheat: (request: BlobRequest, options: { readonly signal: AbortSignal }) => Promise<void>;
}

/**
 * Brings here what a tracker has ordered, on our own account where the job has none. What is here already costs the registry
 * no question: every machine of a cluster may be ordered to have it, again and again.
 * @throws UPSTREAM_*, STORE_*, DIGEST_MISMATCH, ABORTED
 */
export async function fetchOrdered(
  { needsCapabilities, origin, preheat, store }: FetchOrderedDeps,
  request: BlobRequest,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  if (store.get(request.digest)?.complete === true) return;
  const account = needsCapabilities ? await onOwnAccount(origin, request, options.signal) : request.origin;
  await preheat({ ...request, origin: account }, options);
}
