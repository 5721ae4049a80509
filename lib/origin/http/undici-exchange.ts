import { Readable } from 'node:stream';
import { getCACertificates } from 'node:tls';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { HttpExchange, HttpRequest } from '../exchange.ts';
import type { OriginResponse } from '../origin-client.ts';
import { guardedLookup } from './guarded-lookup.ts';
import { patientConnector } from './patient-connector.ts';
import { Agent, request as undiciRequest } from './undici.ts';

export interface HttpTimeouts {
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** Longest gap between two chunks of a body while we are reading. */
  readonly bodyTimeoutMs: number;
}

/** Connections to one upstream and to where it redirects. */
export interface HttpConnections {
  readonly exchange: HttpExchange;
  /** Takes no more requests; resolves when those under way have ended. */
  finish(): Promise<void>;
  /** Cuts what is under way. */
  close(): Promise<void>;
}

/** Codes of a connection that ended before the answer: a kept-alive one that the other side was just closing. */
const CLOSED_CONNECTION = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'];
/** Codes of an answer that is not HTTP, or not the HTTP it promised to be. */
const BROKEN_ANSWER = [
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_EXCEEDED_MAX_SIZE',
];
/** A registry puts an upload of gigabytes in its place before it answers. */
const UPLOADED_TIMEOUT_MS = 5 * 60_000;
/** Longer than from one layer of a pull to the next: a new connection costs two more round trips over TLS. */
const KEEP_ALIVE_MS = 30_000;
const REQUEST_HEADERS = { 'user-agent': 'damselfly' };

/** How TLS is spoken with a registry, and which addresses its names may lead to. */
export interface ConnectOptions {
  /** PEM text of authorities that are trusted besides the machine's. */
  readonly ca?: string | undefined;
  /** What follows is for `ownHosts` alone: where a registry redirects is not the registry. */
  readonly ownHosts: readonly string[];
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
  /** Names may lead to this machine itself: those of `ownHosts`, and those of where the registry redirects. */
  readonly mayBeOwn: boolean;
  readonly redirectsMayBeOwn: boolean;
}

/** HTTP/1.1 over undici. */
export function createUndiciExchange(
  deps: { readonly metrics?: Metrics },
  options: HttpTimeouts & ConnectOptions,
): HttpConnections {
  const { ca, clientCert, clientKey, insecureSkipVerify, ownHosts } = options;
  const openAgent = (own: boolean): Agent =>
    new Agent({
      // HTTP/2 costs more CPU a byte, and one connection would carry every layer.
      allowH2: false,
      connect: patientConnector({
        allowH2: false,
        timeout: options.connectTimeoutMs,
        lookup: guardedLookup(own ? options.mayBeOwn : options.redirectsMayBeOwn),
        ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }),
        ...(own && clientCert !== undefined && clientKey !== undefined
          ? { cert: clientCert, key: clientKey }
          : {}),
        ...(own && insecureSkipVerify === true ? { rejectUnauthorized: false } : {}),
      }),
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: options.headersTimeoutMs,
      bodyTimeout: options.bodyTimeoutMs,
    });
  const own = openAgent(true);
  const others = openAgent(false);

  const send = async (request: HttpRequest, signal: AbortSignal): Promise<OriginResponse> => {
    const { body } = request;
    const response = await undiciRequest(request.url, {
      dispatcher: ownHosts.includes(request.url.host) ? own : others,
      // undici checks the method itself and refuses what HTTP does not have.
      method: request.method,
      // An encoded answer would not have the digest that the bytes have.
      headers: { ...REQUEST_HEADERS, ...request.headers, 'accept-encoding': 'identity' },
      signal,
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : Readable.from(body) }),
      ...(body === undefined || typeof body === 'string' ? {} : { headersTimeout: UPLOADED_TIMEOUT_MS }),
    });
    // A body that fails while nobody reads it must not end the process; whoever reads sees the error.
    response.body.on('error', () => {});
    return {
      status: response.statusCode,
      headers: response.headers,
      body: guarded(response.body, request.url, signal),
    };
  };

  return {
    async exchange(request, signal) {
      if (signal.aborted) throw abortedError(signal);
      const count = (status: string): void =>
        deps.metrics?.originRequests.inc({ kind: request.kind, status });
      for (let attempt = 1; ; attempt++) {
        try {
          const response = await send(request, signal);
          count(String(response.status));
          return response;
        } catch (error) {
          if (signal.aborted) throw abortedError(signal);
          count('failed');
          const again =
            attempt === 1 && request.body === undefined && CLOSED_CONNECTION.includes(codeOf(error));
          if (!again) throw translated(error, request.url);
        }
      }
    },
    finish: async () => {
      await Promise.all([own.close(), others.close()]);
    },
    close: async () => {
      await Promise.all([own.destroy(), others.destroy()]);
    },
  };
}

async function* guarded(
  body: AsyncIterable<Uint8Array>,
  url: URL,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    if (CLOSED_CONNECTION.includes(codeOf(error))) {
      throw new DamselflyError(
        'UPSTREAM_BROKEN',
        `${url.host} closed the connection in the middle of an answer`,
        {},
        { cause: error },
      );
    }
    throw translated(error, url);
  }
}

/** Our error for undici's. Only the host is named: the rest of an address may be signed. */
function translated(error: unknown, url: URL): DamselflyError {
  const code = codeOf(error);
  const broken = code.startsWith('HPE_') || BROKEN_ANSWER.includes(code);
  return new DamselflyError(
    broken ? 'UPSTREAM_BROKEN' : 'UPSTREAM_UNREACHABLE',
    `${url.host} ${broken ? 'sent an answer that is not proper HTTP' : 'did not answer'}: ${reason(error)}`,
    { host: url.host },
    { cause: error },
  );
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

function reason(error: unknown): string {
  // Node tries every address of a name and reports them together, with an empty message of its own.
  const inner = error instanceof AggregateError ? (error.errors as unknown[]).at(-1) : error;
  return describeError(inner) || codeOf(inner);
}
