import { createHash } from 'node:crypto';
import { BoundedMap } from '../core/bounded-map.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { Upstream } from '../core/upstream.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { HttpExchange } from './exchange.ts';
import { basicAuthorization, type Secret, type SecretSource } from './secret.ts';
import { requestToken } from './token-request.ts';
import { mayReceiveCredentials } from './trust.ts';
import { isHttp } from './upstream.ts';

/** Authorization for reads on our own account, at one address of a registry. */
export interface Credentials {
  /** Whether there may be more than an anonymous token. */
  readonly configured: boolean;
  /** What the registry last accepted, or may accept, for this place. */
  known(place: string): string | undefined;
  /**
   * An answer to the challenge of a 401, other than `refused`; undefined when there is none.
   * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN, UPSTREAM_REFUSED (the token service's 429 or 5xx), ABORTED
   */
  answer(challenge: ChallengeOf, signal: AbortSignal): Promise<string | undefined>;
}

export interface ChallengeOf {
  /** A repository or, for what belongs to none, a path: what needs one right. */
  readonly place: string;
  /** The WWW-Authenticate header. */
  readonly header: string | string[] | undefined;
  /** The Authorization that was refused. */
  readonly refused: string | undefined;
  /** Of the request that was refused: of those that wait for one token, the first one's trace has it. */
  readonly traceparent?: string | undefined;
}

interface Known {
  readonly authorization: string;
  readonly expiresAtMs: number;
}

/** A token is given up this long before it expires, or after 4/5 of a short life, so that it does not expire on its way. */
const TOKEN_MARGIN_MS = 5_000;
/** Passwords of helpers and files change: they are asked for again after this. */
const BASIC_MS = 5 * 60_000;
/** Tokens and places remembered; the oldest goes first. */
const MAX_KNOWN = 1_000;

/** Answers the Basic and Bearer challenges of one address; without credentials it asks for anonymous tokens. */
export function createCredentials(
  deps: {
    readonly exchange: HttpExchange;
    readonly clock: Clock;
    readonly log: Logger;
    readonly closing: AbortSignal;
    readonly secrets: SecretSource;
    /** Hosts that no registry may send us to, unless it is there itself. */
    readonly forbidden: (url: URL) => boolean;
  },
  upstream: Pick<Upstream, 'name' | 'tokenHosts'>,
  at: URL,
): Credentials {
  const { exchange, clock, log, closing, secrets, forbidden } = deps;
  // Repositories whose challenges ask for the same scope of the same service share a token.
  const scopes = new BoundedMap<string>(MAX_KNOWN);
  const tokens = new BoundedMap<Known>(MAX_KNOWN);
  const flights = new SingleFlight<Known | undefined>();
  /** A refresh token that took the place of the configured one, by that one's hash. */
  const rotated = new BoundedMap<string>(MAX_KNOWN);

  const known = (place: string): string | undefined => {
    const entry = tokens.get(scopes.get(place) ?? '');
    return entry !== undefined && entry.expiresAtMs > clock.now() ? entry.authorization : undefined;
  };

  const answerBearer = async (
    challenge: Challenge,
    { place, traceparent }: ChallengeOf,
  ): Promise<Known | undefined> => {
    const realm = URL.parse(challenge.parameters['realm'] ?? '');
    if (realm === null || !isHttp(realm) || (forbidden(realm) && realm.hostname !== at.hostname)) {
      return undefined;
    }
    realm.username = '';
    realm.password = '';
    const listed = upstream.tokenHosts?.includes(realm.hostname) === true && realm.protocol === 'https:';
    const trusted = listed || mayReceiveCredentials(realm, at);
    if (secrets.configured && !trusted) {
      log.warn(
        { upstream: upstream.name, realm: realm.host },
        'the registry names a token service of another domain: the credentials are not sent there; add it to token-hosts of this upstream if they should be',
      );
    }
    const secret = trusted ? await secrets.find(place, closing) : undefined;
    const isPath = place.startsWith('/');
    const question = {
      realm,
      service: challenge.parameters['service'],
      scope: challenge.parameters['scope'] ?? (isPath ? undefined : `repository:${place}:pull`),
      secret: newest(secret),
      traceparent,
    };
    const token = await requestToken(exchange, question, closing);
    if (token === undefined) return undefined;
    if (secret?.kind === 'refresh' && token.refreshToken !== undefined) {
      rotated.set(hashOf(secret.token), token.refreshToken);
    }
    const lifeMs = token.validSeconds * 1000;
    const marginMs = Math.min(TOKEN_MARGIN_MS, lifeMs / 5);
    return { authorization: `Bearer ${token.value}`, expiresAtMs: clock.now() + lifeMs - marginMs };
  };

  const newest = (secret: Secret | undefined): Secret | undefined =>
    secret?.kind === 'refresh'
      ? { kind: 'refresh', token: rotated.get(hashOf(secret.token)) ?? secret.token }
      : secret;

  const answerBasic = async (place: string, refused: string | undefined): Promise<Known | undefined> => {
    const secret = await secrets.find(place, closing);
    if (secret?.kind !== 'password') return undefined;
    const authorization = basicAuthorization(secret.username, secret.password);
    if (authorization !== refused) return { authorization, expiresAtMs: clock.now() + BASIC_MS };
    log.warn({ upstream: upstream.name, place }, 'the registry refuses the credentials of this upstream');
    return undefined;
  };

  return {
    configured: secrets.configured,
    known,
    async answer(refusal, signal) {
      const { header, place, refused } = refusal;
      // Someone else may have got a new token while our request was on its way.
      const current = known(place);
      if (current !== undefined && current !== refused) return current;
      const challenges = parseChallenges(header);
      const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
      const basic = challenges.some(({ scheme }) => scheme === 'basic');
      if (bearer === undefined && !basic) return undefined;
      const scope = bearer === undefined ? `basic ${place}` : scopeOf(bearer, place);
      scopes.set(place, scope);
      const entry = await flights.run(
        scope,
        () => (bearer === undefined ? answerBasic(place, refused) : answerBearer(bearer, refusal)),
        signal,
      );
      if (entry === undefined) tokens.delete(scope);
      else tokens.set(scope, entry);
      return entry?.authorization;
    },
  };
}

/** What a token is for. Without a scope in the challenge it is for the place. */
function scopeOf({ parameters }: Challenge, place: string): string {
  return JSON.stringify([parameters['realm'], parameters['service'], parameters['scope'] ?? place]);
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
