import { connect as netConnect } from 'node:net';
import { DamselflyError } from '../../core/errors.ts';
import type { Credentials } from '../../security/credentials.ts';
import { createSocketGuard } from '../../security/system/socket-guard.ts';
import { type BufferPool, createBufferPool } from '../buffer-pool.ts';
import { dialWsLink } from '../link/ws-dial.ts';
import type { WsLink } from '../link/ws-link.ts';
import type { DhtLocator, PeerNetwork } from '../seams.ts';
import { createSmallBlobTransport } from './ask-small-blobs.ts';
import { AwaitedConnections } from './awaited-connections.ts';
import { createCapabilityTransport } from './capabilities-http.ts';
import type { Connect } from './connect.ts';
import { createConnectionPool } from './connection-pool.ts';
import { createDhtLocator } from './dht-door.ts';
import { createOpener } from './open-connection.ts';
import { listenForPeers, type PeerListenerDeps, type ServeConnection } from './peer-listener.ts';
import { connectOverTls } from './peer-tls.ts';
import { notListening, openReversed } from './reversed.ts';

export interface HttpPeerNetworkOptions {
  /** Connections that the peer port holds at once, links included; may change. @default 1024 */
  readonly maxConnections?: () => number;
  /** Connections that the peer port takes within one second; who comes beyond that is refused. @default 1000 */
  readonly maxNewPerSecond?: number;
  /** Where uploads borrow their memory. @default one of 64 MiB */
  readonly pool?: BufferPool;
  /** Who we are: mutual TLS on every connection, dialled or taken. Without it all are plain. */
  readonly credentials?: Credentials | undefined;
  /** Lets other workers or processes listen on the same address: the kernel spreads connections over them. */
  readonly reusePort?: boolean;
  /** Opens connections to peers. @default `net.connect`, or `tls.connect` with `credentials` */
  readonly connect?: Connect;
}

const DEFAULT_MAX_CONNECTIONS = 1024;
/** More than a crowd brings to one node; a machine that opens and drops connections brings more. */
const DEFAULT_NEW_PER_SECOND = 1000;
const DEFAULT_POOL_BYTES = 64 * 1024 * 1024;

/** The peer network of real processes: pieces over HTTP/1.1, links over WebSocket, both on one port, plain or TLS. */
export function createHttpPeerNetwork(
  deps: Omit<PeerListenerDeps, 'pool' | 'awaited'>,
  options: HttpPeerNetworkOptions = {},
): PeerNetwork & DhtLocator {
  const {
    maxConnections = () => DEFAULT_MAX_CONNECTIONS,
    maxNewPerSecond = DEFAULT_NEW_PER_SECOND,
    reusePort = false,
    credentials,
  } = options;
  const guard =
    credentials &&
    createSocketGuard(credentials, ({ remoteAddress }, reason) => {
      deps.onStranger?.(reason);
      deps.log.warn({ peer: remoteAddress, reason }, 'a connection to a peer that is none any more');
    });
  const secured = credentials && guard && connectOverTls(credentials, guard);
  const connect: Connect = options.connect ?? secured ?? ((to) => netConnect(to));
  const pool = options.pool ?? createBufferPool({ budgetBytes: DEFAULT_POOL_BYTES });
  const { clock } = deps;
  const awaited = new AwaitedConnections();
  const open = createOpener({ clock, connect, awaited });
  const connections = createConnectionPool({ clock, connect, open });
  const smallBlobs = createSmallBlobTransport({ connect });
  const capabilities = createCapabilityTransport({ connect });
  const dialled = new Set<WsLink>();
  let serve: ServeConnection | undefined;
  let closed = false;

  return {
    fetch: (request, into, fetchOptions) => connections.fetch(request, into, fetchOptions),
    ...createDhtLocator({ connect }),
    fetchSmall: (request, fetchOptions) => smallBlobs.fetchSmall(request, fetchOptions),
    askCapability: (asked, askOptions) => capabilities.askCapability(asked, askOptions),
    async listen(address, handlers) {
      const { listener, serve: serves } = await listenForPeers(
        address,
        handlers,
        { ...deps, pool, awaited },
        { maxConnections, maxNewPerSecond, reusePort, credentials },
      );
      serve = serves;
      return listener;
    },
    async connectBack(to, { signal }) {
      if (closed || serve === undefined) throw notListening();
      const socket = await openReversed(to, { connect, signal });
      if (!serve(socket)) throw notListening();
    },
    async dial(address, { signal }) {
      const link = closed ? undefined : await dialWsLink(address, { signal, connect }, deps);
      if (link === undefined || closed) {
        link?.terminate();
        throw new DamselflyError('PEER_UNREACHABLE', 'the peer network is closed');
      }
      dialled.add(link);
      void link.closed.then(() => dialled.delete(link));
      return link.link;
    },
    async close() {
      closed = true;
      guard?.close();
      smallBlobs.close();
      capabilities.close();
      await connections.close();
      for (const link of dialled) link.terminate();
    },
  };
}
