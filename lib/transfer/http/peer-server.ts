import { createServer, type Server, type ServerOptions } from 'node:http';
import type { Logger } from '../../observe/log.ts';
import { ACTS } from '../../security/acts.ts';
import type { Credentials } from '../../security/credentials.ts';
import { createMemberServer } from '../../security/system/member-server.ts';

/** The HTTP server of the peer port: plain, or over mutual TLS for nodes and supernodes of the cluster alone. */
export function createPeerServer(
  limits: ServerOptions,
  credentials: Credentials | undefined,
  deps: { readonly log: Logger; readonly onStranger?: ((reason: string) => void) | undefined },
): Server {
  if (credentials === undefined) return createServer(limits);
  return createMemberServer(
    {
      credentials,
      roles: ACTS.share,
      refused: (socket, reason) => {
        deps.onStranger?.(reason);
        deps.log.warn({ peer: socket.remoteAddress, reason }, 'a connection without the identity of a peer');
      },
    },
    limits,
  );
}
