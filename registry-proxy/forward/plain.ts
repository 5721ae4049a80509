import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { finished, pipeline } from 'node:stream';
import { guardedLookup } from '../../lib/origin/http/guarded-lookup.ts';
import { sendError } from '../answer.ts';
import { endToEnd } from '../end-to-end.ts';
import { parseAuthority, refusalOf } from './destination.ts';

/** Silence of the other side that ends an exchange. */
const IDLE_MS = 60_000;

/** Sends a plain http request on to a host that is no registry of ours. */
export function forwardPlainly(
  request: IncomingMessage,
  response: ServerResponse,
  to: { readonly url: URL; readonly via: string; readonly clientIsLocal: boolean },
): void {
  const { clientIsLocal, url, via } = to;
  const secure = url.protocol === 'https:';
  const destination = parseAuthority(`${url.hostname}:${url.port || (secure ? 443 : 80)}`);
  const refusal = destination === undefined ? 'not a host' : refusalOf(destination, clientIsLocal);
  if (refusal !== undefined) {
    sendError(response, { status: 403, code: 'DENIED', message: refusal });
    return;
  }
  const onward = (secure ? httpsRequest : httpRequest)(url, {
    method: request.method,
    headers: { ...endToEnd(request.headers), host: url.host, via },
    lookup: guardedLookup(clientIsLocal),
    timeout: IDLE_MS,
    agent: false,
  });
  onward.on('timeout', () => onward.destroy(new Error(`silent for ${IDLE_MS / 1000} s`)));
  onward.on('error', (error) => {
    if (response.headersSent) response.destroy();
    else {
      const message = `${url.host} did not answer: ${error.message}`;
      sendError(response, { status: 502, code: 'UNAVAILABLE', message });
    }
  });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
    // A body that breaks off on either side is cut on the other.
    pipeline(answer, response, () => {});
  });
  finished(response, () => onward.destroy());
  request.pipe(onward);
}
