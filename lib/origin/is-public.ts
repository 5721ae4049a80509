import { discard } from './exchange.ts';
import { isFileLocator } from './file.ts';
import type { BlobRead } from './origin-client.ts';
import { askAsGiven, askAsOurselves, hasCredentials, type Registry } from './registry.ts';

/** Whether the registry gives a blob to whoever asks. Contract: `OriginClient.isPublic`. */
export async function isPublic(
  registry: Registry,
  { digest, origin }: Pick<BlobRead, 'digest' | 'origin'>,
  signal: AbortSignal,
): Promise<boolean> {
  // The registry would see who we are; and a file is no blob of one.
  if (registry.namesUs || isFileLocator(origin.repository)) return false;
  // Without credentials our own account is anybody's: some registries give a token to whoever asks for one.
  const ask = hasCredentials(registry) ? askAsGiven : askAsOurselves;
  const path = `/v2/${origin.repository}/blobs/${digest}`;
  const response = await ask(registry, { kind: 'blob', method: 'HEAD', path, headers: {} }, signal);
  await discard(response);
  return response.status === 200;
}
