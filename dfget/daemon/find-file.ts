import { type Digest, isDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { discard } from '../../lib/origin/exchange.ts';
import { type FileFacts, fileFacts, fileKey, fileOrigin, fileRequest } from '../../lib/origin/file.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { isHttp } from '../../lib/origin/upstream.ts';
import type { FileToFind, FoundFile } from '../local-protocol.ts';

/** As the wire takes them, and with room beside them in the head of an HTTP request. */
const MAX_LOCATOR_BYTES = 1024;
const MAX_RIGHTS_BYTES = 12 * 1024;

/**
 * Asks the source of a file with what its caller shows, each time anew: who is refused there gets nothing of what store and
 * swarm have. What is asked for is one byte by GET, since some signed addresses allow no HEAD.
 * @throws UPSTREAM_UNKNOWN when the host is no upstream, UPSTREAM_REFUSED (`facts.status`), UPSTREAM_UNREACHABLE,
 * CONFIG_INVALID, ABORTED
 */
export async function findFile(
  origin: Pick<OriginClient, 'request' | 'trust'>,
  isPaused: (upstream: string) => boolean,
  file: FileToFind,
  signal: AbortSignal,
): Promise<FoundFile> {
  const url = URL.parse(file.url);
  if (url === null || !isHttp(url) || url.username !== '' || url.password !== '') {
    throw new DamselflyError('CONFIG_INVALID', 'expected the URL of a file, http or https, without a user');
  }
  const place = fileOrigin(url, url.host, file);
  const trust = origin.trust(place.upstream);
  const facts = await askSource(origin, place, signal);
  if (isPaused(place.upstream)) return notShared(`${place.upstream} is paused`);
  const { authorization, repository } = place;
  if (repository.length > MAX_LOCATOR_BYTES || (authorization?.length ?? 0) > MAX_RIGHTS_BYTES) {
    return notShared('its address or headers are too long');
  }
  const { size } = facts;
  if (size === undefined) return notShared('its source does not say how long it is');
  // Only what anybody may read is known by its content alone: a yes to one address is none to the same bytes at another.
  const open = authorization === undefined && url.search === '' && trust === 'caller';
  const key = fileKey(place, facts);
  const digest = open && isContentDigest(file.digest) ? file.digest : key;
  if (digest === undefined) {
    return notShared('its source gives neither a strong ETag nor Last-Modified to know it by');
  }
  return { shared: true, digest, size, ...place, ...(key === undefined ? {} : { key }) };
}

function isContentDigest(text: string | undefined): text is Digest {
  return text !== undefined && isDigest(text);
}

function notShared(why: string): FoundFile {
  return { shared: false, why };
}

async function askSource(
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
