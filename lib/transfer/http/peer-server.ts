import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '../../observe/log.ts';
import { ACTS } from '../../security/acts.ts';
import type { Credentials } from '../../security/credentials.ts';
import { handshakeRefusal, mutualTls, shownCertificate } from '../../security/system/mutual-tls.ts';
import { createSocketGuard } from '../../security/system/socket-guard.ts';

/** Who has not proved by then who it is, is no peer. */
const HANDSHAKE_TIMEOUT_MS = 5000;

/** The HTTP server of the peer port: plain, or over mutual TLS for nodes and supernodes of the cluster alone. */
export function createPeerServer(
  limits: ServerOptions,
  credentials: Credentials | undefined,
  deps: { readonly log: Logger; readonly onStranger?: ((reason: string) => void) | undefined },
): Server {
  if (credentials === undefined) return createServer(limits);
  const server = createTlsServer({
    ...limits,
    ...mutualTls(credentials.keys),
    requestCert: true,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  const forget = credentials.onRenewed(() => server.setSecureContext(mutualTls(credentials.keys)));
  const refuse = (socket: Socket, reason: string): void => {
    deps.onStranger?.(reason);
    deps.log.warn({ peer: socket.remoteAddress, reason }, 'a connection without the identity of a peer');
  };
  const guard = createSocketGuard(credentials, refuse);
  server.once('close', () => {
    forget();
    guard.close();
  });
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    const reason = handshakeRefusal(error, socket);
    if (reason !== undefined) refuse(socket, reason);
  });
  server.on('secureConnection', (socket) => {
    const checked = credentials.check(shownCertificate(socket), ACTS.share);
    if (checked.kind === 'member') return guard.watch(socket);
    refuse(socket, checked.reason);
    socket.destroy();
  });
  return server;
}
