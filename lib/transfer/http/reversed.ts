import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import type { ReverseDialer } from '../seams.ts';
import type { AwaitedConnections } from './awaited-connections.ts';
import { type Connect, hostHeader } from './connect.ts';
import { memberOf } from './peer-member.ts';
import { connectionError } from './peer-tls.ts';
import { NODE_HEADER } from './piece-request.ts';

/** Where a peer that was asked for it opens a connection, on which it is then asked for pieces: GET with an upgrade. */
const REVERSE_PATH = '/v1/reverse';
const REVERSE_PROTOCOL = 'damselfly-reverse';

/**
 * Opens a connection to a peer that waits for it.
 * @returns the connection, on which the peer sends requests from now on
 * @throws as {@link ReverseDialer} says
 */
export function openReversed(
  { address, from, peer }: Parameters<ReverseDialer['connectBack']>[0],
  { connect, signal }: { readonly connect: Connect; readonly signal: AbortSignal },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) throw abortedError(signal);
    const { host, port } = address;
    const request = httpRequest({
      ...{ host, port, signal, path: REVERSE_PATH },
      createConnection: () => connect({ host, port, noDelay: true, keepAlive: true }),
      headers: {
        host: hostHeader(address),
        connection: 'Upgrade',
        upgrade: REVERSE_PROTOCOL,
        [NODE_HEADER]: from,
      },
    });
    request.on('error', (error) => {
      if (signal.aborted) reject(abortedError(signal));
      else reject(connectionError(error, 'no connection back to the peer'));
    });
    request.on('response', ({ statusCode }) => {
      request.destroy();
      reject(unreachable(`the peer waits for no connection: status ${statusCode ?? 0}`));
    });
    request.on('upgrade', (_response, socket, head) => {
      const member = memberOf(socket);
      socket.on('error', () => socket.destroy());
      // Bytes of its first request may have come with the answer.
      if (head.length > 0) socket.unshift(head);
      if (signal.aborted) reject(abortedError(signal));
      else if (member === undefined || member.id === peer) return resolve(socket);
      else reject(new DamselflyError('PEER_UNTRUSTED', 'another member listens where the peer should'));
      socket.destroy();
    });
    request.end();
  });
}

/** Whether a request with an upgrade offers a connection to ask for pieces on. */
export function isReversed({ headers, method, url }: IncomingMessage): boolean {
  return method === 'GET' && url === REVERSE_PATH && headers.upgrade?.toLowerCase() === REVERSE_PROTOCOL;
}

/** Takes a connection that was asked for; refuses any other. */
export function takeReversed(
  { headers, socket }: IncomingMessage,
  upgraded: Duplex,
  head: Buffer,
  awaited: AwaitedConnections,
): void {
  const take = awaited.find(socket, String(headers[NODE_HEADER.toLowerCase()] ?? ''));
  // Whoever is to be asked says nothing before that.
  if (take === undefined || head.length > 0) {
    upgraded.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  upgraded.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${REVERSE_PROTOCOL}\r\n\r\n`,
  );
  take(socket);
}

/** For a process that was asked to connect back, and serves nobody. */
export function notListening(): DamselflyError {
  return unreachable('this process does not listen');
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `no connection back to the peer: ${why}`);
}
