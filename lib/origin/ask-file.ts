import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';
import { discard } from './exchange.ts';
import { type FileFacts, fileFacts, fileRequest } from './file.ts';
import type { OriginClient } from './origin-client.ts';

/**
 * Asks the source of a file for one byte with what its caller shows: by GET, since some signed addresses allow no HEAD.
 * @returns what it says of the file
 * @throws UPSTREAM_REFUSED (`facts.status`) for a no; UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, ABORTED
 */
export async function askFile(
  origin: Pick<OriginClient, 'request'>,
  place: BlobOrigin,
  signal: AbortSignal,
): Promise<FileFacts> {
  const { headers, path, secret } = fileRequest(place);
  const { upstream } = place;
  const asked = { accept: '*/*', ...headers, range: 'bytes=0-0' };
  const response = await origin.request(
    { upstream, method: 'GET', path, headers: asked, secret },
    { signal },
  );
  await discard(response);
  const { status } = response;
  const facts = fileFacts(response);
  // An empty file has no first byte.
  if (status === 200 || status === 206 || (status === 416 && facts.size === 0)) return facts;
  const message = `the source answered ${status} for ${place.repository.replace(/[?#].*$/, '')}`;
  throw new DamselflyError('UPSTREAM_REFUSED', message, { status, upstream });
}
