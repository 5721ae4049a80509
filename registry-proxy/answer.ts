import type { ServerResponse } from 'node:http';
import { abortedError, DamselflyError, hasCode } from '../lib/core/errors.ts';
import { type RegistryError, registryErrorBody, registryErrorOf } from '../lib/oci/registry-error.ts';
import type { OriginResponse } from '../lib/origin/origin-client.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { type ClientExchange, commonHeaders, type Headers, relayedHeaders } from './exchange.ts';

/** A client that takes no byte for this long has hung up without saying so. */
const CLIENT_STALL_MS = 5 * 60_000;
/** Bodies that a status forbids (RFC 9110 section 6.4.1). */
const BODILESS = [204, 304];

/** Answers with a registry error, and headers besides. */
export function sendError(response: ServerResponse, error: RegistryError, headers: Headers = {}): void {
  const body = registryErrorBody(error);
  response.writeHead(error.status, {
    'docker-distribution-api-version': 'registry/2.0',
    ...headers,
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
  });
  response.end(body);
}

/**
 * Tells the client of a failure: as a registry error while nothing has been sent, else by cutting the connection, so
 * that a body which stays incomplete is never taken for a whole one.
 */
export function sendFailure(response: ServerResponse, error: unknown): void {
  if (response.destroyed || hasCode(error, 'ABORTED') || response.headersSent) {
    response.destroy();
    return;
  }
  const known =
    error instanceof DamselflyError
      ? error
      : new DamselflyError('INTERNAL', 'a bug in Damselfly; its log says more');
  sendError(response, registryErrorOf(known));
}

/** Passes a registry's answer on, whatever its status, with what of its headers clients of a mirror need. @throws as sendAnswer */
export async function relayAnswer(
  deps: { readonly clock: Clock },
  exchange: ClientExchange,
  answer: OriginResponse,
  more: Headers = {},
): Promise<void> {
  const headers = { ...relayedHeaders(answer), ...commonHeaders(exchange), ...more };
  await sendAnswer(deps, exchange, answer, headers);
}

/** A registry's answer under these headers. @throws what its body throws; ABORTED */
export async function sendAnswer(
  deps: { readonly clock: Clock },
  { request, response, signal }: ClientExchange,
  answer: OriginResponse,
  headers: Headers,
): Promise<void> {
  response.writeHead(answer.status, headers);
  if (request.method !== 'HEAD' && !BODILESS.includes(answer.status)) {
    for await (const chunk of answer.body) await writeChunk(deps.clock, response, chunk, signal);
  }
  response.end();
}

/**
 * Hands bytes to the client. Settles once the network is done with their memory, which may then be used again: giving
 * up ends the connection first.
 * @throws ABORTED when the client is gone or stands still for too long
 */
export async function writeChunk(
  clock: Clock,
  response: ServerResponse,
  chunk: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) throw abortedError(signal);
  if (response.closed) throw new DamselflyError('ABORTED', 'the client is gone');
  await new Promise<void>((resolve, reject) => {
    let failure: DamselflyError | undefined;
    const settle = (error?: DamselflyError): void => {
      cancel();
      signal.removeEventListener('abort', onAbort);
      response.removeListener('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const giveUp = (error: DamselflyError): void => {
      failure ??= error;
      response.destroy();
    };
    const onAbort = (): void => giveUp(abortedError(signal));
    const onClose = (): void => settle(failure ?? new DamselflyError('ABORTED', 'the client is gone'));
    const cancel = clock.after(CLIENT_STALL_MS, () =>
      giveUp(new DamselflyError('ABORTED', 'the client takes no more bytes')),
    );
    signal.addEventListener('abort', onAbort, { once: true });
    response.once('close', onClose);
    response.write(chunk, (error) => {
      if (error === undefined || error === null) settle(failure);
    });
  });
}
