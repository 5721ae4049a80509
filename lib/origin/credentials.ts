import { DamselflyError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { discard, type HttpExchange, readBody } from './exchange.ts';
import { isLinkLocal, mayReceiveCredentials } from './trust.ts';
import { isHttp, type Upstream } from './upstream.ts';

/** Authorization for reads on our own account. */
export interface Credentials {
  /** What the registry last accepted, or may accept, for this repository. */
  known(repository: string): string | undefined;
  /**
   * An answer to the challenge of a 401, other than `refused`; undefined when there is none.
   * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, ABORTED
   */
  answer(challenge: ChallengeOf, signal: AbortSignal): Promise<string | undefined>;
}

export interface ChallengeOf {
  readonly repository: string;
  /** The WWW-Authenticate header. */
  readonly header: string | string[] | undefined;
  /** The Authorization that was refused. */
  readonly refused: string | undefined;
}

interface Known {
  readonly authorization: string;
  readonly expiresAtMs: number;
}

/** A token service that does not say means 60 s (distribution, token specification). */
const DEFAULT_TOKEN_SECONDS = 60;
/** A token is given up this long before it expires, so that it does not expire on its way. */
const TOKEN_MARGIN_MS = 5_000;
/** Tokens are a few KiB; anything near this is not one. */
const MAX_TOKEN_BODY_BYTES = 1024 * 1024;
/** Repositories whose token is remembered; the oldest goes first. */
const MAX_KNOWN = 1_000;

/** Answers one upstream's Basic and Bearer challenges; without configured credentials it asks for anonymous tokens. */
export function createCredentials(
  deps: {
    readonly exchange: HttpExchange;
    readonly clock: Clock;
    readonly log: Logger;
    readonly closing: AbortSignal;
  },
  upstream: Upstream,
  upstreamAt: URL,
): Credentials {
  const { exchange, clock, log, closing } = deps;
  const knownByRepository = new Map<string, Known>();
  const flights = new SingleFlight<Known | undefined>();
  const basic = basicAuthorization(upstream);

  const known = (repository: string): string | undefined => {
    const entry = knownByRepository.get(repository);
    return entry !== undefined && entry.expiresAtMs > clock.now() ? entry.authorization : undefined;
  };

  const remember = (repository: string, entry: Known): void => {
    knownByRepository.delete(repository);
    const oldest = knownByRepository.keys().next();
    if (knownByRepository.size >= MAX_KNOWN && oldest.done !== true) knownByRepository.delete(oldest.value);
    knownByRepository.set(repository, entry);
  };

  const answerBearer = async (challenge: Challenge, repository: string): Promise<Known | undefined> => {
    const realm = URL.parse(challenge.parameters['realm'] ?? '');
    if (realm === null || !isHttp(realm) || (isLinkLocal(realm) && realm.hostname !== upstreamAt.hostname)) {
      return undefined;
    }
    const trusted = mayReceiveCredentials(realm, upstreamAt);
    if (basic !== undefined && !trusted) {
      log.warn(
        { upstream: upstream.name, realm: realm.host },
        'the registry names a token service of another domain: the configured credentials are not sent there',
      );
    }
    const service = challenge.parameters['service'];
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', challenge.parameters['scope'] ?? `repository:${repository}:pull`);
    const headers: Record<string, string> = { accept: 'application/json' };
    if (basic !== undefined && trusted) headers['authorization'] = basic;
    const response = await exchange({ kind: 'token', method: 'GET', url: realm, headers }, closing);
    if (response.status !== 200) {
      await discard(response);
      return undefined;
    }
    return tokenOf(await readBody(response, MAX_TOKEN_BODY_BYTES), clock.now());
  };

  return {
    known,
    async answer({ repository, header, refused }, signal) {
      // Someone else may have got a new token while our request was on its way.
      const current = known(repository);
      if (current !== undefined && current !== refused) return current;
      const challenges = parseChallenges(header);
      const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
      let entry: Known | undefined;
      if (bearer !== undefined) {
        const key = JSON.stringify([repository, bearer.parameters]);
        entry = await flights.run(key, () => answerBearer(bearer, repository), signal);
      } else if (
        basic !== undefined &&
        basic !== refused &&
        challenges.some(({ scheme }) => scheme === 'basic')
      ) {
        entry = { authorization: basic, expiresAtMs: Number.POSITIVE_INFINITY };
      }
      if (entry === undefined) knownByRepository.delete(repository);
      else remember(repository, entry);
      return entry?.authorization;
    },
  };
}

function basicAuthorization({ username, password }: Upstream): string | undefined {
  if (username === undefined || password === undefined) return undefined;
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function tokenOf(body: Uint8Array, nowMs: number): Known {
  let json: { token?: unknown; access_token?: unknown; expires_in?: unknown } | null;
  try {
    json = JSON.parse(Buffer.from(body).toString()) as typeof json;
  } catch {
    json = null;
  }
  const token = json?.token ?? json?.access_token;
  // Anything else could not be sent in a header.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the token service of the registry sent no token');
  }
  const seconds =
    typeof json?.expires_in === 'number' && json.expires_in > 0 ? json.expires_in : DEFAULT_TOKEN_SECONDS;
  return { authorization: `Bearer ${token}`, expiresAtMs: nowMs + seconds * 1000 - TOKEN_MARGIN_MS };
}
