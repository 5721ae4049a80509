import {
  Agent,
  type ClientRequestArgs,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { abortedError, DamselflyError, describeError, hasCode } from '../../core/errors.ts';
import { isWorthRetrying } from '../../origin/origin-client.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import {
  type CapabilityAnswer,
  type CapabilityQuestion,
  decodeCapabilityAnswer,
  decodeCapabilityQuestion,
  MAX_CAPABILITY_ANSWER_BYTES,
  MAX_CAPABILITY_QUESTION_BYTES,
} from '../../wire/capability-codec.ts';
import { type CapabilityTransport, type PeerServerHandlers, WORKING_EVERY_MS } from '../seams.ts';
import { type Connect, hostHeader, onceConnected } from './connect.ts';
import { memberOf } from './peer-member.ts';

/** Where a supernode is asked for a capability: POST, question and answer are JSON. */
export const CAPABILITIES_PATH = '/v1/capabilities';
/** Questions being read at once, by what they may take: 16 MiB. */
const MAX_QUESTIONS = 512;
const IDLE_MS = 2000;

/** Asks supernodes for capabilities, on kept connections. Whoever is none is told nothing. */
export function createCapabilityTransport({
  connect,
}: {
  readonly connect: Connect;
}): CapabilityTransport & { close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 2, maxFreeSockets: 2, timeout: IDLE_MS });
  agent.createConnection = ({ host, port }: ClientRequestArgs) =>
    connect({ host: host ?? '', port: Number(port), noDelay: true, keepAlive: true });
  return {
    askCapability: ({ address, question }, { signal, onSign }) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) throw abortedError(signal);
        const body = JSON.stringify(question);
        const request = httpRequest({
          ...{ agent, signal, method: 'POST', path: CAPABILITIES_PATH },
          ...{ host: address.host, port: address.port },
          headers: {
            host: hostHeader(address),
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
          },
        });
        const fail = (error: unknown): void => {
          if (signal.aborted) reject(abortedError(signal));
          else if (error instanceof DamselflyError) reject(error);
          else reject(new DamselflyError('PEER_UNREACHABLE', `no answer: ${describeError(error)}`));
        };
        request.on('error', fail);
        request.on('response', (response) => void readAnswer(response).then(resolve, fail));
        request.on('information', () => onSign?.('works'));
        request.on('socket', (socket) => {
          const greeted = (): void => {
            onSign?.('works');
            send();
          };
          const send = (): void => {
            // A caller's credential goes to supernodes alone.
            if (memberOf(socket)?.role === 'supernode') request.end(body);
            else request.destroy(new Error('it is no supernode'));
          };
          if (!socket.connecting) return send();
          socket.once('connect', () => onSign?.('taken'));
          onceConnected(socket, greeted);
        });
      }),
    close: () => agent.destroy(),
  };
}

async function readAnswer(response: IncomingMessage): Promise<CapabilityAnswer | undefined> {
  const text = await readText(response, MAX_CAPABILITY_ANSWER_BYTES);
  // Refused, or not asked for here.
  if (response.statusCode === 403 || response.statusCode === 404) return undefined;
  const answer = response.statusCode === 200 && text !== undefined ? decodeCapabilityAnswer(text) : undefined;
  if (answer !== undefined) return answer;
  // It may be put again.
  if (response.statusCode === 503) {
    throw new DamselflyError('PEER_BUSY', 'the supernode, or its registry, is busy');
  }
  throw new DamselflyError('PEER_PROTOCOL', `a supernode answered with status ${response.statusCode ?? 0}`);
}

/** Answers members that ask for a capability. */
export function createCapabilityAnswerer(
  handler: PeerServerHandlers['capability'],
  { clock }: { readonly clock: Clock },
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  let underWay = 0;
  return async (request, response) => {
    const member = memberOf(request.socket);
    if (handler === undefined || member === undefined) return answer(response, 404);
    if (underWay >= MAX_QUESTIONS) return answer(response, 503);
    // Who asks could not tell one that is busy from one that stands still.
    const stopSaying = every(clock, WORKING_EVERY_MS, () => {
      if (!response.destroyed && !response.headersSent) response.writeProcessing();
    });
    try {
      underWay++;
      const reading = readText(request, MAX_CAPABILITY_QUESTION_BYTES).finally(() => underWay--);
      const text = await reading.catch(() => undefined);
      const question: CapabilityQuestion | undefined =
        text === undefined ? undefined : decodeCapabilityQuestion(text);
      if (question === undefined) return answer(response, 400);
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const given = await handler(member, question, { signal: gone.signal });
      if (given === undefined) answer(response, 403);
      else answer(response, 200, JSON.stringify(given));
    } catch (error) {
      // The registry does not answer: somebody else may reach it. One that is overloaded is so to all.
      answer(response, hasCode(error, 'UPSTREAM_REFUSED') && isWorthRetrying(error) ? 503 : 502);
    } finally {
      stopSaying();
    }
  };
}

async function readText(message: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function answer(response: ServerResponse, status: number, body = ''): void {
  if (response.destroyed || response.headersSent) return;
  const close = status === 400 ? { Connection: 'close' } : {};
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    ...close,
  });
  response.end(body);
}
