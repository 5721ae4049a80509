import { type Digest, isDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { askFile } from '../../lib/origin/ask-file.ts';
import { fileKey, fileOrigin } from '../../lib/origin/file.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { isHttp } from '../../lib/origin/upstream.ts';
import type { FileToFind, FoundFile } from '../local-protocol.ts';

/** As the wire takes them, and with room beside them in the head of an HTTP request. */
const MAX_LOCATOR_BYTES = 1024;
const MAX_RIGHTS_BYTES = 12 * 1024;

/** Of the node that looks for a file. */
export interface FileFinder {
  isPaused(upstream: string): boolean;
  /**
   * Peers give what a capability is for, and a supernode gives one for a key, which it makes itself from the source's answer:
   * that an address has the bytes of some digest it could not tell.
   */
  readonly needsCapabilities: boolean;
}

/**
 * Asks the source of a file with what its caller shows, each time anew: who is refused there gets nothing of what store and
 * swarm have.
 * @throws UPSTREAM_UNKNOWN when the host is no upstream, UPSTREAM_REFUSED (`facts.status`), UPSTREAM_UNREACHABLE,
 * CONFIG_INVALID, ABORTED
 */
export async function findFile(
  origin: Pick<OriginClient, 'request' | 'trust'>,
  node: FileFinder,
  file: FileToFind,
  signal: AbortSignal,
): Promise<FoundFile> {
  const url = URL.parse(file.url);
  if (url === null || !isHttp(url) || url.username !== '' || url.password !== '') {
    throw new DamselflyError('CONFIG_INVALID', 'expected the URL of a file, http or https, without a user');
  }
  const place = fileOrigin(url, url.host, file);
  const trust = origin.trust(place.upstream);
  const facts = await askFile(origin, place, signal);
  if (node.isPaused(place.upstream)) return notShared(`${place.upstream} is paused`);
  const { authorization, repository } = place;
  if (repository.length > MAX_LOCATOR_BYTES || (authorization?.length ?? 0) > MAX_RIGHTS_BYTES) {
    return notShared('its address or headers are too long');
  }
  const { size } = facts;
  if (size === undefined) return notShared('its source does not say how long it is');
  // Only what anybody may read is known by its content alone: a yes to one address is none to the same bytes at another.
  const open =
    authorization === undefined && url.search === '' && trust === 'caller' && !node.needsCapabilities;
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
