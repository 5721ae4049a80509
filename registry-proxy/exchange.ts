import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BlobOrigin } from '../lib/core/node.ts';
import type { OriginResponse } from '../lib/origin/origin-client.ts';

/** One request to the proxy, once it is known what it asks for. */
export interface ClientExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
  readonly upstream: string;
  readonly repository: string;
  /** The registry as the client named it by `?ns=`. */
  readonly ns?: string;
  /** Via value for what we ask of the registry: by it a loop back to us is recognised. */
  readonly via: string;
  /** W3C traceparent of our part in it, if it is traced. */
  readonly traceparent?: string;
}

export type Headers = Record<string, string | string[]>;

const ASKED = ['accept', 'authorization', 'user-agent'] as const;

/** The caller's own headers for a request to the registry: its rights, what it understands, who it is. */
export function callerHeaders(
  { request, traceparent, via }: ClientExchange,
  more: readonly string[] = [],
): Headers {
  const headers: Headers = { via, ...(traceparent === undefined ? {} : { traceparent }) };
  for (const name of [...ASKED, ...more]) {
    const value = request.headers[name];
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}

/** Where what this caller asks for can be read, and with whose rights. */
export function originOf({ repository, request, traceparent, upstream }: ClientExchange): BlobOrigin {
  const { authorization } = request.headers;
  return {
    ...{ upstream, repository },
    ...(authorization === undefined ? {} : { authorization }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

const RELAYED = new Set([
  'accept-ranges',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'docker-content-digest',
  'docker-ratelimit-source',
  'etag',
  'last-modified',
  'link',
  'retry-after',
  'warning',
  'www-authenticate',
  'x-total-count',
]);
const RELAYED_PREFIXES = ['oci-', 'ratelimit-'];
/** What Node refuses to send in a header value. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/;

/** Whether a header value that came in may go out again. */
export function isSendable(value: string | string[]): boolean {
  return ![value].flat().some((text) => UNSENDABLE.test(text));
}

/** The headers of a registry's answer that are its client's business. */
export function relayedHeaders(answer: Pick<OriginResponse, 'headers'>): Headers {
  const kept: Headers = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    const wanted = RELAYED.has(name) || RELAYED_PREFIXES.some((prefix) => name.startsWith(prefix));
    if (wanted && value !== undefined && isSendable(value)) kept[name] = value;
  }
  return kept;
}

/** One value of a header that should be there once. */
export function oneHeader(answer: Pick<OriginResponse, 'headers'>, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** Headers that every answer about a registry carries. */
export function commonHeaders(exchange: Pick<ClientExchange, 'ns'>): Headers {
  return {
    'docker-distribution-api-version': 'registry/2.0',
    ...(exchange.ns === undefined ? {} : { 'oci-namespace': exchange.ns }),
  };
}
