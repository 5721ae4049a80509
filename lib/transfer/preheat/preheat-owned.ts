import type { BlobRequest } from '../../core/blob-source.ts';
import { DamselflyError } from '../../core/errors.ts';
import { dealAll } from '../../swarm/sites.ts';
import type { EngineDeps } from '../engine-deps.ts';

/**
 * Brings a whole blob to a supernode before any node asks for it, if it is its to bring to its site; else its owners have the same order.
 * @param read reads it; resolves with why it could not
 * @throws UPSTREAM_*, STORE_*, DIGEST_MISMATCH, ABORTED
 */
export async function preheatOwned(
  { discovery, self, store }: Pick<EngineDeps, 'discovery' | 'self' | 'store'>,
  { digest, size }: BlobRequest,
  read: () => Promise<unknown>,
): Promise<void> {
  const { readers, sites } = dealAll(digest, size, discovery.supernodes);
  const owners = sites.get(self().zone) ?? readers;
  const ours = owners.length === 0 || owners.some(({ id }) => id === self().id);
  if (size === 0 || !ours || store.get(digest)?.complete === true) return;
  const failed = await read();
  if (store.get(digest)?.complete === true) return;
  if (failed instanceof Error) throw failed;
  throw new DamselflyError('UPSTREAM_BROKEN', 'the blob was not read whole', { digest, size });
}
