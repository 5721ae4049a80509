import { DamselflyError } from '../core/errors.ts';
import { readTraceparent } from '../core/traceparent.ts';
import { NO_TRACER, type Span, type Tracer } from '../observe/spans.ts';
import { pathTemplate } from '../oci/path-template.ts';
import type { HttpExchange } from './exchange.ts';
import type { OriginResponse } from './origin-client.ts';
import { isHttp } from './upstream.ts';

/**
 * An exchange whose requests are client spans of the trace that their `traceparent` header names; what is asked is told
 * of that span. Requests without the header are no part of any trace.
 * Queries stay out of it: they may be signed.
 */
export function tracedExchange(exchange: HttpExchange, tracer: Tracer = NO_TRACER): HttpExchange {
  return async (request, signal) => {
    const parent = readTraceparent(request.headers['traceparent']);
    if (parent === undefined) return await exchange(request, signal);
    const { method, url } = request;
    const template = pathTemplate(url.pathname);
    const target = request.kind === 'token' ? 'token' : template;
    const span = tracer.begin(target === undefined ? method : `${method} ${target}`, {
      kind: 'client',
      parent,
      facts: {
        'http.request.method': method,
        'url.full': `${url.protocol}//${url.host}${url.pathname}`,
        ...(isHttp(url) ? serverFacts(url) : {}),
        ...(template === undefined ? {} : { 'url.template': template }),
      },
    });
    const headers = { ...request.headers, traceparent: span.traceparent ?? parent };
    try {
      const response = await exchange({ ...request, headers }, signal);
      return span.recorded ? { ...response, body: untilRead(response, span) } : response;
    } catch (error) {
      span.end(codeOf(error));
      throw error;
    }
  };
}

function serverFacts({ hostname, port, protocol }: URL): Readonly<Record<string, string | number>> {
  return {
    'server.address': hostname,
    'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
    'network.protocol.version': '1.1',
  };
}

/** The body; the span ends with it. */
async function* untilRead({ body, status }: OriginResponse, span: Span): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  let failure = status >= 400 ? String(status) : undefined;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    failure = codeOf(error);
    throw error;
  } finally {
    span.note({ 'http.response.status_code': status, 'http.response.body.size': bytes });
    span.end(failure);
  }
}

function codeOf(error: unknown): string {
  return error instanceof DamselflyError ? error.code : 'INTERNAL';
}
