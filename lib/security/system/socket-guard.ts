import type { X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Credentials } from '../credentials.ts';
import { shownCertificate } from './mutual-tls.ts';

/** Open connections to members of the cluster: those of a member that is revoked are cut at once. */
export interface SocketGuard {
  /** From its handshake on; forgotten when it closes. */
  watch(socket: Socket): void;
  close(): void;
}

/** @param cut told of each connection just before it is destroyed */
export function createSocketGuard(
  credentials: Credentials,
  cut: (socket: Socket, reason: string) => void,
): SocketGuard {
  const open = new Map<Socket, X509Certificate>();
  const forget = credentials.onTrust(() => {
    for (const [socket, certificate] of open) {
      if (!credentials.isRevoked(certificate)) continue;
      open.delete(socket);
      cut(socket, 'revoked');
      socket.destroy();
    }
  });
  return {
    watch(socket) {
      const certificate = shownCertificate(socket);
      if (certificate === undefined || socket.destroyed) return;
      open.set(socket, certificate);
      socket.once('close', () => open.delete(socket));
    },
    close() {
      forget();
      open.clear();
    },
  };
}
