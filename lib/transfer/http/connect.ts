import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { DamselflyError } from '../../core/errors.ts';
import type { Address } from '../seams.ts';

/** What a connection to a peer is opened with. */
export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  readonly noDelay: boolean;
  readonly keepAlive?: boolean;
  /** Lets the network read straight into our memory; see `onread` of node:net. */
  readonly onread?: {
    readonly buffer: () => Uint8Array;
    readonly callback: (bytesWritten: number) => boolean;
  };
}

/** The one place where connections to peers come from: `net.connect`, or `tls.connect` with the cluster's identity. */
export type Connect = (options: ConnectOptions) => Socket;

/** Calls once when bytes of ours can reach the peer: after the TLS handshake, where there is one. */
export function onceConnected(socket: Socket, callback: () => void): void {
  socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', callback);
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
