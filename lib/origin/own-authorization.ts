import type { BlobOrigin } from '../core/node.ts';
import { discard } from './exchange.ts';
import { isFileLocator } from './file.ts';
import { type BlobRead, isWorthRetrying, type OriginClient } from './origin-client.ts';
import { askPatiently } from './patience.ts';
import { askAsOurselves, type Registry } from './registry.ts';

/** A registry that wanted nothing to be shown in a repository is not asked again for so long. */
const GIVES_UNASKED_MS = 5 * 60_000;

type Blob = Pick<BlobRead, 'digest' | 'origin'>;

/** What we show the registry for reads on our own account. Contract: `OriginClient.ownAuthorization`. */
export async function ownAuthorization(
  registry: Registry,
  blob: Blob,
  signal: AbortSignal,
): Promise<string | undefined> {
  const ours = await askForOurs(registry, blob, signal);
  if (ours !== undefined) registry.shownAsOurs.set(ours, true);
  return ours;
}

async function askForOurs(
  registry: Registry,
  { digest, origin: { repository, traceparent } }: Blob,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (registry.trust === 'node' || isFileLocator(repository)) return undefined;
  const known = (): string | undefined =>
    registry.endpoints.find(({ credentials }) => credentials.known(repository));
  const before = known();
  if (before !== undefined) return before;
  const now = registry.clock.now();
  if (now < (registry.givesUnasked.get(repository) ?? 0)) return undefined;
  const path = `/v2/${repository}/blobs/${digest}`;
  const headers = traceparent === undefined ? {} : { traceparent };
  const question = { kind: 'blob', method: 'HEAD', path, headers } as const;
  // Who has nothing to show reads from the registry by itself: the last thing that one which is busy needs.
  const answer = await askPatiently(registry, () => askAsOurselves(registry, question, signal), signal);
  await discard(answer);
  const shown = known();
  if (shown === undefined && answer.status === 200) {
    registry.givesUnasked.set(repository, now + GIVES_UNASKED_MS);
  }
  return shown;
}

/**
 * Where a blob is that we read on our own account, with what we show the registry there: others see by it that we may
 * have the blob, and give it to us. While the registry does not answer it stays as it is: who reads is told of that.
 * @throws ABORTED
 */
export async function onOwnAccount(
  client: Pick<OriginClient, 'ownAuthorization'>,
  blob: Blob,
  signal: AbortSignal,
): Promise<BlobOrigin> {
  if (blob.origin.authorization !== undefined) return blob.origin;
  try {
    const authorization = await client.ownAuthorization(blob, { signal });
    return authorization === undefined ? blob.origin : { ...blob.origin, authorization };
  } catch (error) {
    if (!isWorthRetrying(error)) throw error;
    return blob.origin;
  }
}
