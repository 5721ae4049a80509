import { isFileKey } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { discard } from './exchange.ts';
import { fileFacts, fileKey, fileRequest } from './file.ts';
import { type BlobBody, type BlobRead, definitelyBroken, requireKnownSize } from './origin-client.ts';
import { blobBody, rangeHeader } from './read-blob.ts';
import { askAsGiven, askAsOurselves, type Registry } from './registry.ts';

/**
 * Reads a file from its source, with what its caller showed. Our own account reads only where `trust: node` lets callers that
 * show nothing use it: there is no digest that would keep the answer to another file apart. Contract: `OriginClient.readBlob`.
 * @throws also UPSTREAM_BROKEN when the source has another file by now than the one that the key names
 */
export async function readFile(registry: Registry, read: BlobRead, signal: AbortSignal): Promise<BlobBody> {
  const { digest, origin } = read;
  const { headers, path, secret } = fileRequest(origin);
  const { traceparent } = origin;
  const traced = traceparent === undefined ? {} : { traceparent };
  const asked = { accept: '*/*', ...headers, ...rangeHeader(read), ...traced };
  const asNode = registry.trust === 'node' && headers['authorization'] === undefined;
  const ask = asNode ? askAsOurselves : askAsGiven;
  const request = { kind: 'blob', method: 'GET', path, headers: asked, secret } as const;
  const response = await ask(registry, request, signal);
  try {
    const { status } = response;
    if (status !== 200 && status !== 206) {
      const facts = { status, upstream: origin.upstream };
      throw new DamselflyError('UPSTREAM_REFUSED', `the source answered ${status} for a file`, facts);
    }
    if (isFileKey(digest) && fileKey(origin, fileFacts(response)) !== digest) {
      throw definitelyBroken('the file has changed at its source', { upstream: origin.upstream, digest });
    }
    const body = blobBody(response, read);
    requireKnownSize(read, body.size);
    return body;
  } catch (error) {
    await discard(response);
    throw error;
  }
}
