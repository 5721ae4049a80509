import { Agent, type ClientRequestArgs, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import { may } from '../../security/acts.ts';
import {
  bytesOf,
  encodeSmallQuestion,
  type SmallBlobsQuestion,
  splitAnswer,
} from '../../wire/small-blobs-codec.ts';
import type { SmallBlobsAnswer, SmallBlobTransport } from '../seams.ts';
import { type Connect, hostHeader, onceConnected } from './connect.ts';
import { memberOf } from './peer-member.ts';
import { NODE_HEADER } from './piece-request.ts';
import { HELD_HEADER, SMALL_BLOBS_PATH } from './small-blobs-http.ts';

/** Idle connections kept to each peer: questions are short, and few at once go to one peer. */
const MAX_IDLE_PER_PEER = 2;
/** Longer than a client takes from one small blob to the next; a supernode has a whole cluster's askers to hold. */
const IDLE_MS = 2000;

/**
 * Asks peers for small blobs: a POST of JSON on a kept connection, answered with the bytes. Node's own HTTP client,
 * whose cost a byte does not matter here.
 */
export function createSmallBlobTransport(deps: {
  readonly connect: Connect;
}): SmallBlobTransport & { close(): void } {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE_PER_PEER, timeout: IDLE_MS });
  agent.createConnection = ({ host, port }: ClientRequestArgs) =>
    deps.connect({ host: host ?? '', port: Number(port), noDelay: true, keepAlive: true });
  let closed = false;

  const ask: SmallBlobTransport['fetchSmall'] = ({ address, from, ...question }, { signal }) =>
    new Promise((resolve, reject) => {
      const body = encodeSmallQuestion(question);
      const request = httpRequest({
        ...{ agent, signal, method: 'POST', path: SMALL_BLOBS_PATH },
        ...{ host: address.host, port: address.port },
        headers: {
          host: hostHeader(address),
          [NODE_HEADER]: from,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      });
      request.on('error', (error) => reject(new Gone(request.reusedSocket, error)));
      request.on('response', (response) => {
        readAnswer(response, question).then(resolve, (error: unknown) => {
          request.destroy();
          reject(error instanceof DamselflyError ? error : new Gone(false, error));
        });
      });
      request.on('socket', (socket) => {
        const send = (): void => {
          // Credentials of a caller go to supernodes alone.
          if (question.origin !== undefined && !mayHear(socket)) {
            request.destroy(new Error('it is no supernode'));
          } else request.end(body);
        };
        if (socket.connecting) onceConnected(socket, send);
        else send();
      });
    });

  return {
    async fetchSmall(asked, options) {
      for (let again = true; ; again = false) {
        if (closed) throw unreachable('we are closing');
        try {
          return await ask(asked, options);
        } catch (error) {
          if (options.signal.aborted) throw abortedError(options.signal);
          if (!(error instanceof Gone)) throw error;
          // The peer was just closing the connection that we had kept.
          if (!again || !error.reused) throw unreachable(describeError(error.cause));
        }
      }
    },
    close() {
      closed = true;
      agent.destroy();
    },
  };
}

/** Whether credentials may go there: on a plain connection nobody proves anything. */
function mayHear(socket: Socket): boolean {
  const role = memberOf(socket)?.role;
  return role === undefined ? !(socket instanceof TLSSocket) : may(role, 'own');
}

/** The connection failed. */
class Gone extends Error {
  readonly reused: boolean;

  constructor(reused: boolean, cause: unknown) {
    super('gone', { cause });
    this.reused = reused;
  }
}

async function readAnswer(
  response: IncomingMessage,
  { blobs }: SmallBlobsQuestion,
): Promise<SmallBlobsAnswer> {
  const most = bytesOf(blobs);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > most) throw badAnswer('more bytes than asked for');
    chunks.push(chunk);
  }
  switch (response.statusCode) {
    case 200: {
      const answer = splitAnswer(blobs, String(response.headers[HELD_HEADER]), Buffer.concat(chunks));
      if (answer === undefined) throw badAnswer('other bytes than it says');
      return answer;
    }
    // Whoever does not know the question has none of the blobs either.
    case 404:
      return blobs.map(() => undefined);
    case 503:
      throw new DamselflyError('PEER_BUSY', 'the peer answers too many questions already');
    default:
      throw badAnswer(`status ${response.statusCode ?? 0}`);
  }
}

function badAnswer(what: string): DamselflyError {
  return new DamselflyError('PEER_PROTOCOL', `a peer answered a question for small blobs with ${what}`);
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `the peer did not answer: ${why}`);
}
