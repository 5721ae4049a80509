import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { DamselflyError } from '../../core/errors.ts';
import type { Address } from '../seams.ts';

/** Where bytes from the network go; see `onread` of node:net. */
export interface OnRead {
  /** Where the next ones go; never empty. */
  readonly buffer: () => Uint8Array;
  /** @returns whether more are wanted now; if not, the socket is to be resumed */
  readonly callback: (bytesWritten: number) => boolean;
}

/** What a connection to a peer is opened with. */
export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  readonly noDelay: boolean;
  readonly keepAlive?: boolean;
  /** Lets the network read straight into our memory. */
  readonly onread?: OnRead;
}

/** The one place where connections to peers come from: `net.connect`, or `tls.connect` with the cluster's identity. */
export type Connect = (options: ConnectOptions) => Socket;

/** Calls once when bytes of ours can reach the peer: after the TLS handshake, where there is one. */
export function onceConnected(socket: Socket, callback: () => void): void {
  socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', callback);
}

/** Reads a socket that was not opened with `onread` as if it had been, at the price of one more copy of each byte. */
export function readInto(socket: Socket, { buffer, callback }: OnRead): Socket {
  return socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; ) {
      const copied = chunk.copy(buffer(), 0, at);
      at += copied;
      if (callback(copied)) continue;
      if (socket.destroyed) return;
      socket.pause();
      if (at < chunk.length) socket.unshift(chunk.subarray(at));
      return;
    }
  });
}

/**
 * The address as it stands in a Host header or URL.
 * @throws PEER_UNREACHABLE when it is no host name or IP address, so that nothing else can slip into a request
 */
export function hostHeader(address: Address): string {
  const { host, port } = address;
  if (!/^[\w.:%-]+$/.test(host) || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new DamselflyError(
      'PEER_UNREACHABLE',
      `not an address: ${JSON.stringify(`${host.slice(0, 300)}:${port}`)}`,
    );
  }
  return host.includes(':') ? `[${host.replace(/%.*$/, '')}]:${port}` : `${host}:${port}`;
}
