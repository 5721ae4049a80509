import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ClientOptions } from 'ws';
import { createAuthority, steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import { mutualTls, type TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import type { Connect } from '../../lib/transfer/http/connect.ts';
import { connectOverTls } from '../../lib/transfer/http/peer-tls.ts';

/** The id that both sides of the TLS medium prove to have. */
export const MEDIUM_PEER = 'a'.repeat(40);

/** What bytes between two peers go through: the piece transport is to behave the same over each. */
export interface Medium {
  readonly name: string;
  /** For `createHttpPeerNetwork`. */
  readonly network: { readonly credentials?: Credentials };
  readonly connect: Connect;
  /** A raw connection to a local port; not yet connected. */
  open(port: number): Socket;
  /** Waits until the connection can carry bytes. */
  opened(socket: Socket): Promise<void>;
  serve(handler: (socket: Socket) => void): Server;
  serveHttp(): HttpServer;
  /** Ends a served connection without a word. */
  reset(socket: Socket): void;
  readonly webSocket: { readonly scheme: 'ws' | 'wss'; readonly options: ClientOptions };
}

const PLAIN: Medium = {
  name: 'plain',
  network: {},
  connect: (to) => connect(to),
  open: (port) => connect(port, '127.0.0.1'),
  opened: async (socket) => void (await once(socket, 'connect')),
  serve: (handler) => createServer(handler),
  serveHttp: () => createHttpServer(),
  reset: (socket) => socket.resetAndDestroy(),
  webSocket: { scheme: 'ws', options: {} },
};

/** Plain TCP, and mutual TLS with a supernode's certificate on both sides. */
export async function mediums(): Promise<readonly Medium[]> {
  const authority = await createAuthority();
  return [PLAIN, overTls(await authority.issue(MEDIUM_PEER))];
}

function overTls(tls: TlsKeys): Medium {
  const credentials = steadyCredentials(tls);
  const dial = connectOverTls(credentials);
  const both = { ...mutualTls(tls), requestCert: true };
  return {
    name: 'TLS',
    network: { credentials },
    connect: dial,
    open: (port) => dial({ host: '127.0.0.1', port, noDelay: true }),
    opened: async (socket) => void (await once(socket, 'secureConnect')),
    serve: (handler) => createTlsServer(both, handler),
    serveHttp: () => createHttpsServer(both),
    reset: (socket) => socket.destroy(),
    webSocket: {
      scheme: 'wss',
      // Node takes undefined or an error, whatever the types of ws say.
      options: { ...mutualTls(tls), checkServerIdentity: (() => undefined) as () => never },
    },
  };
}
