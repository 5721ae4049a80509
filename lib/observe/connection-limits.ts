import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { isThisMachineOnly } from '../core/listen-place.ts';

export interface ConnectionLimits {
  /** Of everybody. */
  readonly total: number;
  /** Of one address of another machine; all that is on this machine has one address. */
  readonly perAddress: number;
}

/**
 * Bounds the connections to a port. At the limit those go that have carried no request for longest, so that whoever only
 * holds connections keeps nobody out; when all of them carry one, who comes last is cut off.
 */
export function limitConnections(server: Server, { perAddress, total }: ConnectionLimits): void {
  const byAddress = new Map<string, Set<Socket>>();
  /** Without a request under way, the longest first; by the socket that was accepted. */
  const idle = new Set<Socket>();
  /** With TLS a request's socket is another one than was accepted: known by the address and port that both have. */
  const byPeer = new Map<string, Socket>();
  const accepted = new WeakMap<Socket, Socket>();
  let open = 0;

  const evict = (among: Iterable<Socket>): boolean => {
    for (const socket of among) {
      if (!idle.has(socket)) continue;
      idle.delete(socket);
      socket.destroy();
      return true;
    }
    return false;
  };

  server.on('connection', (socket: Socket) => {
    const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    const same = byAddress.get(address) ?? new Set<Socket>();
    const crowded = !isThisMachineOnly(address) && same.size >= perAddress && !evict(same);
    if (crowded || (open >= total && !evict(idle))) {
      socket.destroy();
      return;
    }
    open++;
    const peer = peerOf(socket);
    byPeer.set(peer, socket);
    byAddress.set(address, same.add(socket));
    idle.add(socket);
    socket.once('close', () => {
      open--;
      idle.delete(socket);
      if (byPeer.get(peer) === socket) byPeer.delete(peer);
      same.delete(socket);
      if (same.size === 0) byAddress.delete(address);
    });
  });
  server.on('secureConnection', (secured: Socket) => {
    const own = byPeer.get(peerOf(secured));
    if (own !== undefined) accepted.set(secured, own);
  });
  // A tunnel is never without something under way.
  server.on('connect', (_request, stream) => void idle.delete(stream as Socket));
  server.prependListener('request', ({ socket }, response) => {
    const own = accepted.get(socket) ?? socket;
    idle.delete(own);
    response.once('close', () => {
      if (!own.destroyed) idle.add(own);
    });
  });
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
