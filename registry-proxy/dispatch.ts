import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlobSource } from '../lib/core/blob-source.ts';
import { DamselflyError, describeError, hasCode } from '../lib/core/errors.ts';
import type { Logger } from '../lib/observe/log.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import { NO_TRACER, type Tracer } from '../lib/observe/spans.ts';
import type { OriginClient } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { sendError, sendFailure } from './answer.ts';
import { answerBlob } from './blobs.ts';
import { createCallerNames } from './callers.ts';
import type { ClientExchange } from './exchange.ts';
import { LastKnown, type StalePolicy } from './last-known.ts';
import { answerListing } from './listings.ts';
import { answerManifest } from './manifests.ts';
import { passThrough } from './pass-through.ts';
import { beginRequestSpan } from './request-span.ts';
import { parseTarget, type Target } from './route.ts';
import { chooseUpstream } from './upstream-name.ts';
import { createVerdicts } from './verdicts.ts';

export interface RegistryProxyDeps {
  readonly origin: OriginClient;
  readonly blobs: BlobSource;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
  readonly clock: Clock;
  /** Whether the registry's own answers are to be given, past every store and peer. Default: never. */
  readonly isPaused?: (upstream: string) => boolean;
  /** Milliseconds since the epoch, to tell when tokens run out. */
  readonly wallClockMs: () => number;
}

export interface AnswererOptions {
  /** Our name in Via: a request that comes back to us would otherwise go round for ever. */
  readonly pseudonym: string;
  readonly defaultUpstream?: string;
  readonly stale?: StalePolicy;
  /** Ends questions to registries that several clients share. */
  readonly closing: AbortSignal;
}

/** By which way a request came. */
export type Entrance =
  /** To a mirror: `upstream` is the registry that the listener is for, if it is for one. */
  | { readonly upstream?: string; readonly transparent?: never }
  /** From a client that believes to talk to the registry itself, and may push. `direct`: past the swarm. */
  | { readonly upstream: string; readonly transparent: { readonly direct: boolean } };

/** Answers one request. Never rejects. */
export type Answerer = (
  request: IncomingMessage,
  response: ServerResponse,
  entrance: Entrance,
) => Promise<void>;

const NEVER_STALE: StalePolicy = { staleIfErrorMs: 0, tags: 'refuse' };
/** Requests in progress at once; each holds a few chunks at most. More are told to come later, or to go elsewhere. */
const MAX_REQUESTS = 2_048;

/** What stands between a server and the handlers: limits, routing, and an answer to every failure. */
export function createAnswerer(deps: RegistryProxyDeps, options: AnswererOptions): Answerer {
  const { closing, pseudonym, stale = NEVER_STALE } = options;
  const names = createCallerNames((upstream) => deps.origin.trust(upstream));
  const verdicts = createVerdicts({ ...deps, names });
  const lastKnown = new LastKnown({ ...deps, names }, stale);
  const parts = { ...deps, verdicts, lastKnown, closing };
  let underWay = 0;

  const answerFound = async (
    exchange: ClientExchange,
    { route, path, query }: FoundTarget,
  ): Promise<void> => {
    const listing = (registryPath: string): Promise<void> =>
      answerListing(parts, exchange, { path: registryPath, clientPath: path, query });
    switch (route.kind) {
      case 'ping':
        return await listing('/v2/');
      case 'catalog':
        return await listing('/v2/_catalog');
      case 'listing':
        return await listing(`/v2/${exchange.repository}/${route.rest}`);
      case 'manifest':
        return await answerManifest(parts, exchange, route.reference);
      case 'blob':
        return await answerBlob(parts, exchange, route.digest);
    }
  };

  const answerMirrored = async (connection: Arrived, listenerUpstream: string | undefined): Promise<void> => {
    const { request, response } = connection;
    const target = acceptTarget(connection);
    if (target === undefined) return;
    const { route, ns } = target;
    const registryHeader = headerOf(request, 'x-dragonfly-registry');
    const choice = chooseUpstream({
      upstreams: deps.origin.upstreams,
      ns,
      registryHeader,
      name: 'name' in route ? route.name : undefined,
      listenerUpstream,
      defaultUpstream: options.defaultUpstream,
    });
    if (choice.kind === 'found') {
      const { upstream, repository } = choice;
      const exchange = { ...connection, upstream, repository, ...(ns === undefined ? {} : { ns }) };
      await answerFound(exchange, target);
    } else if (route.kind === 'ping' && ns === undefined && registryHeader === undefined) {
      // Clients that name the registry in the path ask this first: there is no registry yet whose answer it could be.
      sendEmptyPing(response);
    } else if (choice.kind === 'unknown') {
      sendError(response, { status: 404, code: 'NAME_UNKNOWN', message: choice.message });
    } else {
      sendError(response, { status: 400, code: 'NAME_INVALID', message: choice.message });
    }
  };

  const answerTransparent = async (connection: Arrived, upstream: string, direct: boolean): Promise<void> => {
    const target =
      direct || !isRead(connection.request) ? undefined : parseTarget(connection.request.url ?? '');
    const name = target?.kind === 'found' && 'name' in target.route ? target.route.name : undefined;
    const choice = chooseUpstream({
      upstreams: deps.origin.upstreams,
      ns: upstream,
      name,
      listenerUpstream: undefined,
      defaultUpstream: undefined,
    });
    if (target?.kind === 'found' && choice.kind === 'found') {
      await answerFound({ ...connection, upstream, repository: choice.repository }, target);
    } else await passThrough(parts, { ...connection, upstream, repository: '' });
  };

  const dispatch = async (connection: Connection, entrance: Entrance): Promise<void> => {
    const { request, response } = connection;
    const seen = request.headers['via'];
    if (seen?.includes(pseudonym) === true) {
      const message = 'the registry of this upstream is this proxy itself: correct its --upstream NAME=URL';
      sendError(response, { status: 508, code: 'UNAVAILABLE', message });
      return;
    }
    const arrived = { ...connection, via: `${seen === undefined ? '' : `${seen}, `}1.1 ${pseudonym}` };
    const { transparent, upstream } = entrance;
    if (transparent === undefined) await answerMirrored(arrived, upstream);
    else await answerTransparent(arrived, upstream, transparent.direct);
  };

  return async (request, response, entrance) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    // A client that resets the connection is no failure of ours.
    response.on('error', () => gone.abort());
    request.on('error', () => gone.abort());
    if (underWay >= MAX_REQUESTS) {
      const message = 'too many requests at once';
      sendError(response, { status: 503, code: 'UNAVAILABLE', message }, { 'retry-after': '1' });
      return;
    }
    underWay++;
    try {
      const { traceparent } = beginRequestSpan(deps.tracer ?? NO_TRACER, request, response);
      const traced = traceparent === undefined ? {} : { traceparent };
      await dispatch({ request, response, signal: gone.signal, ...traced }, entrance);
    } catch (error) {
      report(deps.log, error, request);
      sendFailure(response, error);
    } finally {
      underWay--;
    }
  };
}

type Connection = Pick<ClientExchange, 'request' | 'response' | 'signal' | 'traceparent'>;
type Arrived = Connection & Pick<ClientExchange, 'via'>;
type FoundTarget = Extract<Target, { kind: 'found' }>;

/** What is asked for; undefined when it is nothing that is served here, and the client has been told so. */
function acceptTarget({ request, response }: Connection): FoundTarget | undefined {
  if (!isRead(request)) {
    const message = 'this is a mirror for pulls: push to the registry itself';
    // Whatever the client goes on to send is not read.
    sendError(
      response,
      { status: 405, code: 'UNSUPPORTED', message },
      { allow: 'GET, HEAD', connection: 'close' },
    );
    return undefined;
  }
  const target = parseTarget(request.url ?? '');
  if (target.kind === 'found') return target;
  if (target.kind === 'invalid') {
    sendError(response, { status: 400, code: target.code, message: target.message });
  } else {
    const message = 'only the registry API, under /v2/, is served here';
    sendError(response, { status: 404, code: 'UNSUPPORTED', message });
  }
  return undefined;
}

function isRead({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** A header's value; undefined when it is absent or empty. */
function headerOf(request: IncomingMessage, name: string): string | undefined {
  return [request.headers[name]].flat().join(', ') || undefined;
}

function sendEmptyPing(response: ServerResponse): void {
  response.writeHead(200, {
    'docker-distribution-api-version': 'registry/2.0',
    'content-type': 'application/json',
    'content-length': '2',
  });
  response.end('{}');
}

/** The query stays out of the log: it may be signed. */
function report(log: Logger, error: unknown, request: IncomingMessage): void {
  if (hasCode(error, 'ABORTED')) return;
  const facts = { method: request.method, path: request.url?.split('?')[0], error: describeError(error) };
  if (error instanceof DamselflyError) log.warn(facts, 'a request failed');
  else {
    log.error(
      { ...facts, stack: error instanceof Error ? error.stack : undefined },
      'a request failed by a bug',
    );
  }
}
