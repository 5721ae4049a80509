import { DamselflyError } from '../core/errors.ts';
import { discard, type HttpExchange, type HttpRequest, readBody } from './exchange.ts';
import { basicAuthorization, type Secret } from './secret.ts';

/** What a token service gave. */
export interface Token {
  readonly value: string;
  /** From now on. */
  readonly validSeconds: number;
  /** Takes the place of the refresh token that was sent. */
  readonly refreshToken?: string;
}

export interface TokenQuestion {
  /** The token service's address. */
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
  /** Undefined: an anonymous token is asked for. */
  readonly secret: Secret | undefined;
  /** W3C traceparent of the request that needs the token. */
  readonly traceparent?: string | undefined;
}

/** A token service that does not say means 60 s (distribution, token specification). */
const DEFAULT_TOKEN_SECONDS = 60;
/** Tokens are a few KiB; anything near this is not one. */
const MAX_TOKEN_BODY_BYTES = 1024 * 1024;
const CLIENT_ID = 'damselfly';
/** Services that know only OAuth2 answer a GET like this. */
const GET_NOT_TAKEN = [400, 401, 403, 404, 405];

/**
 * Asks a token service (distribution, token and OAuth2 specifications): by GET, with Basic when there is a password; by
 * POST with a refresh token, or with the password where the service takes no GET.
 * @returns undefined when it refuses
 * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, UPSTREAM_REFUSED (429 and 5xx), ABORTED
 */
export async function requestToken(
  exchange: HttpExchange,
  question: TokenQuestion,
  signal: AbortSignal,
): Promise<Token | undefined> {
  const { secret } = question;
  if (secret?.kind === 'refresh') {
    const form = { grant_type: 'refresh_token', refresh_token: secret.token };
    const answer = await send(exchange, postRequest(question, form), signal);
    return answer.token;
  }
  const { status, token } = await send(exchange, getRequest(question), signal);
  if (token !== undefined || secret === undefined || !GET_NOT_TAKEN.includes(status)) return token;
  const { password, username } = secret;
  const form = { grant_type: 'password', username, password };
  return (await send(exchange, postRequest(question, form), signal)).token;
}

function getRequest({ realm, service, scope, secret, traceparent }: TokenQuestion): HttpRequest {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  if (scope !== undefined) url.searchParams.set('scope', scope);
  const headers: Record<string, string> = { accept: 'application/json', ...traced(traceparent) };
  if (secret?.kind === 'password') {
    headers['authorization'] = basicAuthorization(secret.username, secret.password);
  }
  return { kind: 'token', method: 'GET', url, headers };
}

function postRequest(
  { realm, service, scope, traceparent }: TokenQuestion,
  grant: Readonly<Record<string, string>>,
): HttpRequest {
  const form = new URLSearchParams({ ...grant, client_id: CLIENT_ID });
  if (service !== undefined) form.set('service', service);
  if (scope !== undefined) form.set('scope', scope);
  const headers = {
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
    ...traced(traceparent),
  };
  return { kind: 'token', method: 'POST', url: realm, headers, body: form.toString() };
}

function traced(traceparent: string | undefined): Record<string, string> {
  return traceparent === undefined ? {} : { traceparent };
}

async function send(
  exchange: HttpExchange,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly token?: Token }> {
  const response = await exchange(request, signal);
  const { status } = response;
  if (status !== 200) {
    await discard(response);
    if (status === 429 || status >= 500) {
      // Not a word about the account: told as a refusal it would send callers to log in.
      throw new DamselflyError('UPSTREAM_REFUSED', `the token service answered ${status}`, {
        status,
        host: request.url.host,
      });
    }
    return { status };
  }
  return { status, token: tokenOf(await readBody(response, MAX_TOKEN_BODY_BYTES)) };
}

function tokenOf(body: Uint8Array): Token {
  let json: Record<string, unknown> | null;
  try {
    json = JSON.parse(Buffer.from(body).toString()) as typeof json;
  } catch {
    json = null;
  }
  const value = json?.['token'] ?? json?.['access_token'];
  // Anything else could not be sent in a header.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the token service of the registry sent no token');
  }
  const told = json?.['expires_in'];
  const refreshToken = json?.['refresh_token'];
  return {
    value,
    validSeconds: typeof told === 'number' && told > 0 ? told : DEFAULT_TOKEN_SECONDS,
    ...(typeof refreshToken === 'string' && refreshToken !== '' ? { refreshToken } : {}),
  };
}
