import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Credentials } from '../credentials.ts';
import type { MemberRole } from '../identity.ts';
import { handshakeRefusal, mutualTls, shownCertificate } from './mutual-tls.ts';
import { createSocketGuard } from './socket-guard.ts';

/**
 * Who has not proved by then who it is, is no member. Not sooner: to make the handshakes of thousands that come at the same
 * moment takes many seconds, and those whose turn comes last have done nothing wrong. As long as a node waits for the right
 * to a blob.
 */
const HANDSHAKE_TIMEOUT_MS = 20_000;
/** A member speaks first: whoever has sent nothing by then would only hold the place of one. */
const SILENT_TIMEOUT_MS = 5000;

export interface MemberServerDeps {
  readonly credentials: Credentials;
  /** Whose certificates count: one of the acts of lib/security/acts.ts. */
  readonly roles: readonly MemberRole[];
  /** Told of each connection that is cut because of who is, or is not, at its other end. */
  readonly refused: (socket: Socket, reason: string) => void;
}

/**
 * An HTTP server over mutual TLS for members with these roles alone. New connections show our newest certificate; those of
 * a member that is revoked are cut.
 */
export function createMemberServer(
  { credentials, refused, roles }: MemberServerDeps,
  options: ServerOptions,
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const tls = { ...mutualTls(credentials.keys), requestCert: true, handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
  const server = createServer({ ...options, ...tls }, answer);
  const forget = credentials.onRenewed(() => server.setSecureContext(mutualTls(credentials.keys)));
  const guard = createSocketGuard(credentials, refused);
  server.once('close', () => {
    forget();
    guard.close();
  });
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    const reason = handshakeRefusal(error, socket);
    if (reason !== undefined) refused(socket, reason);
  });
  server.on('connection', (socket: Socket) => {
    socket.setTimeout(SILENT_TIMEOUT_MS, () => {
      // What came while this process was busy has not been read yet.
      setImmediate(() => {
        if (socket.bytesRead === 0) socket.destroy();
      });
    });
  });
  server.on('secureConnection', (socket) => {
    const checked = credentials.check(shownCertificate(socket), roles);
    if (checked.kind === 'member') return guard.watch(socket);
    refused(socket, checked.reason);
    socket.destroy();
  });
  return server;
}
