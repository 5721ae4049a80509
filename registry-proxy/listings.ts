import type { OriginClient } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { relayAnswer } from './answer.ts';
import { type ClientExchange, callerHeaders, type Headers } from './exchange.ts';

/** What is listed, and where the client asked for it. */
export interface Listing {
  /** Path on the registry. */
  readonly path: string;
  /** Path as the client wrote it. */
  readonly clientPath: string;
  /** Query without `ns`. */
  readonly query: URLSearchParams;
}

/**
 * Tags, referrers, the catalog and the version check: the registry's own answer, whatever it is.
 * @throws UPSTREAM_*, ABORTED
 */
export async function answerListing(
  deps: { readonly origin: OriginClient; readonly clock: Clock },
  exchange: ClientExchange,
  listing: Listing,
): Promise<void> {
  const { upstream, request, signal } = exchange;
  const query = listing.query.size === 0 ? '' : `?${listing.query.toString()}`;
  const answer = await deps.origin.request(
    {
      upstream,
      method: request.method ?? 'GET',
      path: `${listing.path}${query}`,
      headers: callerHeaders(exchange),
    },
    { signal },
  );
  await relayAnswer(deps, exchange, answer, linkHeader(answer.headers['link'], exchange, listing));
}

/** The next page's address, on this proxy and named as the client named this page: only the page's place is taken over. */
function linkHeader(
  link: string | string[] | undefined,
  exchange: ClientExchange,
  { clientPath }: Listing,
): Headers {
  const match = typeof link === 'string' ? /^\s*<([^<>]*)>\s*(;.*)?$/.exec(link) : null;
  const next = match === null ? null : URL.parse(match[1] ?? '', 'http://registry/');
  if (link === undefined || next === null) return {};
  next.searchParams.delete('ns');
  if (exchange.ns !== undefined) next.searchParams.set('ns', exchange.ns);
  return { link: `<${clientPath}?${next.searchParams.toString()}>${match?.[2] ?? ''}` };
}
