import { DamselflyError, hasCode } from '../core/errors.ts';
import { OCTET_STREAM } from '../oci/media-types.ts';
import type { OriginResponse } from './origin-client.ts';
import { isHttp } from './upstream.ts';

/** What a request is for, as the metrics tell it. */
export type RequestKind = 'manifest' | 'blob' | 'token' | 'other';

export interface HttpRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly url: URL;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Names of headers that belong to the host they are meant for, besides Authorization and Cookie. */
  readonly secret?: readonly string[];
  readonly body?: AsyncIterable<Uint8Array> | string;
}

/**
 * One HTTP request and its answer, nothing followed and nothing retried.
 * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export type HttpExchange = (request: HttpRequest, signal: AbortSignal) => Promise<OriginResponse>;

/** As many as web browsers follow. */
const MAX_REDIRECTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];
/** Headers that belong to the host they were meant for. */
const PRIVATE_HEADERS = ['authorization', 'cookie'];

/**
 * An exchange that follows redirects of GET and HEAD, without credentials once the host has changed, and never to
 * another host that is `forbidden`. The answer says where it came from when that is another host.
 * @throws also UPSTREAM_BROKEN for redirects that lead nowhere
 */
export function followRedirects(exchange: HttpExchange, forbidden: (url: URL) => boolean): HttpExchange {
  return async (request, signal) => {
    let current = request;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const response = await exchange(current, signal);
      const location = response.headers['location'];
      const followed = REDIRECTS.includes(response.status) && typeof location === 'string';
      if (!followed || !(current.method === 'GET' || current.method === 'HEAD')) {
        return current.url.origin === request.url.origin ? response : { ...response, storage: current.url };
      }
      await discard(response);
      current = redirected(current, location, forbidden);
    }
    throw new DamselflyError('UPSTREAM_BROKEN', `the registry redirects more than ${MAX_REDIRECTS} times`, {
      host: request.url.host,
    });
  };
}

function redirected(request: HttpRequest, location: string, forbidden: (url: URL) => boolean): HttpRequest {
  const url = URL.parse(location, request.url.href);
  const sameHost = url?.origin === request.url.origin;
  if (url === null || !isHttp(url) || (!sameHost && forbidden(url))) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the registry redirects to an address that is not followed', {
      host: request.url.host,
    });
  }
  url.username = '';
  url.password = '';
  if (sameHost) return { ...request, url };
  const secret = [...PRIVATE_HEADERS, ...(request.secret ?? [])];
  const kept = Object.entries(request.headers).filter(([name]) => !secret.includes(name));
  return { ...request, url, headers: Object.fromEntries(kept) };
}

/** Bodies of refusals are short; reading them keeps the connection, but only if they really are. */
const MAX_DISCARDED_BYTES = 64 * 1024;

/** Ends a response that nobody wants, so that its connection can be used again or is closed. */
export async function discard(response: OriginResponse): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > MAX_DISCARDED_BYTES) return;
    }
  } catch (error) {
    // A refusal whose body breaks off is still that refusal.
    if (hasCode(error, 'ABORTED')) throw error;
  }
}

/**
 * The whole body, if it is no longer than `maxBytes`.
 * @throws UPSTREAM_BROKEN, UPSTREAM_UNREACHABLE, ABORTED
 */
export async function readBody(response: OriginResponse, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      const type = response.headers['content-type'] ?? OCTET_STREAM;
      throw new DamselflyError(
        'UPSTREAM_BROKEN',
        `the registry sent more than ${maxBytes} bytes of ${String(type)}`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
