import type { BoundedMap } from '../core/bounded-map.ts';
import { readTraceparent } from '../core/traceparent.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import type { Credentials } from './credentials.ts';
import type { Endpoints } from './endpoints.ts';
import { discard, type HttpExchange, type HttpRequest } from './exchange.ts';
import { askedToLogIn } from './expired-token.ts';
import type { NewestAuthorization } from './newest-authorization.ts';
import type { OriginResponse } from './origin-client.ts';
import type { SignedRedirects } from './signed-redirects.ts';
import type { GrantsPull } from './signed-token.ts';

/** One address of a registry. */
export interface Endpoint {
  readonly host: string;
  readonly exchange: HttpExchange;
  readonly credentials: Credentials;
  /** Where a path of the API is. */
  readonly at: (path: string) => URL;
}

/** A registry as everything here asks it. */
export interface Registry {
  readonly trust: 'caller' | 'node';
  readonly grantsPull: GrantsPull;
  /** Every connection shows a certificate of ours. */
  readonly namesUs: boolean;
  readonly endpoints: Endpoints<Endpoint>;
  readonly newest: NewestAuthorization;
  readonly redirects: SignedRedirects;
  /** Repositories that gave us something without asking who we are -> until when that is believed. */
  readonly givesUnasked: BoundedMap<number>;
  /** Authorizations that `OriginClient.ownAuthorization` gave: a read that was begun with one goes on on our own account. */
  readonly shownAsOurs: BoundedMap<true>;
  /** To the hosts that the registry redirects to, without any Authorization. */
  readonly storage: HttpExchange;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Takes no more requests; resolves when those under way have ended. */
  finish(): Promise<void>;
  /** Cuts what is under way. */
  close(): Promise<void>;
}

/** A request to a registry, at whichever of its addresses answers. */
export type RegistryRequest = Omit<HttpRequest, 'url'> & { readonly path: string };

/**
 * Asks with the Authorization that the request has, or none: nothing is added.
 * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
 */
export async function askAsGiven(
  registry: Registry,
  { path, ...request }: RegistryRequest,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const response = await registry.endpoints.ask(
    ({ at, exchange }) => exchange({ ...request, url: at(path) }, signal),
    request.body !== undefined,
  );
  const { authorization } = request.headers;
  if (typeof authorization === 'string' && response.status < 400) {
    registry.newest.accepted(placeOf(path), authorization);
  }
  return response;
}

/**
 * Asks with whatever answers the registry's challenge on our own account.
 * @throws as {@link askAsGiven}
 */
export async function askAsOurselves(
  registry: Registry,
  { path, ...request }: RegistryRequest,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const place = placeOf(path);
  const askAt = async ({ at, credentials, exchange }: Endpoint): Promise<OriginResponse> => {
    const ask = (authorization: string | undefined): Promise<OriginResponse> => {
      const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
      return exchange({ ...request, headers, url: at(path) }, signal);
    };
    const first = credentials.known(place);
    const { again, response: told } = await askedToLogIn(await ask(first));
    if (!again) return told;
    let response = told;
    if (response.headers['www-authenticate'] === undefined && first !== undefined) {
      // Only who comes without any is told how to get a new one.
      await discard(response);
      response = await ask(undefined);
      if (response.status !== 401) return response;
    }
    const header = response.headers['www-authenticate'];
    const traceparent = readTraceparent(request.headers['traceparent']);
    const second = await credentials.answer({ place, header, refused: first, traceparent }, signal);
    if (second === undefined) return response;
    await discard(response);
    return await ask(second);
  };
  return await registry.endpoints.ask(askAt);
}

/** Whether we have credentials of our own for the registry. */
export function hasCredentials({ endpoints }: Registry): boolean {
  return endpoints.any(({ credentials }) => credentials.configured);
}

/** What needs one right: the repository of a path, or the path itself where it is about none. */
function placeOf(path: string): string {
  const bare = path.replace(/\?.*$/, '');
  return /^\/v2\/(.+)\/(?:manifests|blobs|referrers|tags)\//.exec(bare)?.[1] ?? bare;
}
