import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';
import type { Credentials } from './credentials.ts';
import { discard, type HttpExchange, type RequestKind } from './exchange.ts';
import type { OriginResponse } from './origin-client.ts';

export interface ReaderDeps {
  readonly exchange: HttpExchange;
  readonly credentials: Credentials;
  readonly upstreamAt: (path: string) => URL;
}

/**
 * A GET with the caller's Authorization or, where the caller gave none, with whatever answers the registry's challenge
 * on our own account.
 * @throws UPSTREAM_REFUSED (`facts.status`) for anything but 200 and 206; UPSTREAM_UNREACHABLE, ABORTED
 */
export async function askAsReader(
  { credentials, exchange }: ReaderDeps,
  read: {
    readonly kind: RequestKind;
    readonly url: URL;
    readonly headers: Readonly<Record<string, string>>;
    readonly origin: BlobOrigin;
  },
  signal: AbortSignal,
): Promise<OriginResponse> {
  const { kind, origin, url } = read;
  const { repository } = origin;
  const ask = async (authorization: string | undefined): Promise<OriginResponse> => {
    const headers = authorization === undefined ? read.headers : { ...read.headers, authorization };
    return await exchange({ kind, method: 'GET', url, headers: { ...headers } }, signal);
  };
  const own = origin.authorization === undefined;
  const first = own ? credentials.known(repository) : origin.authorization;
  let response = await ask(first);
  if (response.status === 401 && own) {
    await discard(response);
    const header = response.headers['www-authenticate'];
    const second = await credentials.answer({ repository, header, refused: first }, signal);
    if (second !== undefined) response = await ask(second);
  }
  if (response.status === 200 || response.status === 206) return response;
  await discard(response);
  throw new DamselflyError('UPSTREAM_REFUSED', `the registry answered ${response.status} for a ${kind}`, {
    status: response.status,
    upstream: origin.upstream,
    repository,
    path: url.pathname,
  });
}
