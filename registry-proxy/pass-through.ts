import type { OriginClient } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { sendAnswer } from './answer.ts';
import { endToEnd } from './end-to-end.ts';
import type { ClientExchange, Headers } from './exchange.ts';

/**
 * One request as the client sent it and the registry's answer as it is: pushes, token services, and whatever else a
 * registry offers to clients that believe to talk to it.
 * @throws UPSTREAM_*, ABORTED
 */
export async function passThrough(
  deps: { readonly origin: OriginClient; readonly clock: Clock },
  exchange: ClientExchange,
): Promise<void> {
  const { request, signal, traceparent, upstream, via } = exchange;
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  const answer = await deps.origin.request(
    {
      upstream,
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      headers: { ...endToEnd(request.headers), via, ...(traceparent === undefined ? {} : { traceparent }) },
      ...(hasBody ? { body: request } : {}),
    },
    { signal },
  );
  await sendAnswer(deps, exchange, answer, { ...endToEnd(answer.headers), ...placeOf(answer.headers) });
}

/**
 * Where an upload goes on, without the registry's own idea of its host: it was asked by the address of the upstream, the
 * client asks by its name. Elsewhere stays elsewhere.
 */
function placeOf(headers: Readonly<Record<string, string | string[] | undefined>>): Headers {
  const { location } = headers;
  const url = typeof location === 'string' ? URL.parse(location) : null;
  return url?.pathname.startsWith('/v2/') === true ? { location: `${url.pathname}${url.search}` } : {};
}
