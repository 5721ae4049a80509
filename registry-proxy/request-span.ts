import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { readTraceparent } from '../lib/core/traceparent.ts';
import type { Span, Tracer } from '../lib/observe/spans.ts';
import { pathTemplate } from '../lib/oci/path-template.ts';

/** Methods that may be in the name of a span; whatever else clients make up is `HTTP`. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

/**
 * The span of one client's request, by the conventions for HTTP servers: part of the client's trace when it tells of one,
 * else the beginning of one. It ends with the answer. The query is left out: it may be signed.
 */
export function beginRequestSpan(tracer: Tracer, request: IncomingMessage, response: ServerResponse): Span {
  const { headers, method = '', socket, url = '' } = request;
  const path = URL.parse(url, 'http://mirror')?.pathname ?? '';
  const route = pathTemplate(path);
  const known = METHODS.includes(method);
  const named = known ? method : 'HTTP';
  const [, host, port] = /^(\[.*\]|[^:]*)(?::(\d+))?$/.exec(headers.host ?? '') ?? [];
  const agent = headers['user-agent'];
  const span = tracer.begin(route === undefined ? named : `${named} ${route}`, {
    kind: 'server',
    parent: readTraceparent(headers['traceparent']),
    begins: true,
    facts: {
      'http.request.method': known ? method : '_OTHER',
      'url.scheme': socket instanceof TLSSocket ? 'https' : 'http',
      'url.path': path,
      ...(route === undefined ? {} : { 'http.route': route }),
      ...(host === undefined ? {} : { 'server.address': host }),
      ...(port === undefined ? {} : { 'server.port': Number(port) }),
      ...(socket.remoteAddress === undefined ? {} : { 'client.address': socket.remoteAddress }),
      ...(agent === undefined ? {} : { 'user_agent.original': agent }),
    },
  });
  if (span.recorded) response.once('close', () => endWith(span, response));
  return span;
}

function endWith(span: Span, response: ServerResponse): void {
  const { headersSent, statusCode, writableFinished } = response;
  if (headersSent) span.note({ 'http.response.status_code': statusCode });
  if (headersSent && statusCode >= 500) span.end(String(statusCode));
  else span.end(writableFinished ? undefined : 'cut');
}
