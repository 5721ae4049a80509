import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import { type DhtDoor, decodeDoor, encodeMember } from '../../wire/member-codec.ts';
import type { DhtLocator, PeerServerHandlers } from '../seams.ts';
import { type Connect, hostHeader } from './connect.ts';

/** Where a peer is asked for its way into the DHT: GET, answered with JSON. */
export const DHT_DOOR_PATH = '/v1/dht';
/** The longest peer id fits many times. */
const MAX_ANSWER_BYTES = 1024;

/** Asks peers where their DHT listens, each over a connection of its own: that happens once in a while. */
export function createDhtLocator({ connect }: { readonly connect: Connect }): DhtLocator {
  return {
    locateDht: (address, { signal }) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) throw abortedError(signal);
        const { host, port } = address;
        const request = httpRequest({
          ...{ host, port, signal, path: DHT_DOOR_PATH },
          createConnection: () => connect({ host, port, noDelay: true }),
          headers: { host: hostHeader(address), connection: 'close' },
        });
        const fail = (error: unknown): void => {
          if (signal.aborted) reject(abortedError(signal));
          else if (error instanceof DamselflyError) reject(error);
          else reject(unreachable(describeError(error)));
        };
        request.on('error', fail);
        request.on('response', (response) => {
          readDoor(response).then(resolve, (error: unknown) => {
            request.destroy();
            fail(error);
          });
        });
        request.end();
      }),
  };
}

async function readDoor(response: IncomingMessage): Promise<DhtDoor> {
  if (response.statusCode !== 200) throw unreachable(`status ${response.statusCode ?? 0}`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new DamselflyError('PEER_PROTOCOL', 'a peer sent too long an answer');
    chunks.push(chunk);
  }
  return decodeDoor(Buffer.concat(chunks).toString());
}

/** Answers where our DHT listens; 404 when we are in none. */
export async function answerDhtDoor(
  response: ServerResponse,
  dhtDoor: PeerServerHandlers['dhtDoor'],
): Promise<void> {
  const door = await dhtDoor?.().catch(() => undefined);
  const body = door === undefined ? '' : encodeMember(door);
  response.writeHead(door === undefined ? 404 : 200, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `the peer told of no DHT: ${why}`);
}
