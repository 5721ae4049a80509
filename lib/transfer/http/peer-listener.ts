import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { DamselflyError, describeError } from '../../core/errors.ts';
import { descriptorOf, type ListenPlace, listenOptions } from '../../core/listen-place.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Credentials } from '../../security/credentials.ts';
import type { BufferPool } from '../buffer-pool.ts';
import { CloseCode, createWsLink, LINK_PATH, MAX_MESSAGE_BYTES, type WsLink } from '../link/ws-link.ts';
import type { PeerListener, PeerServerHandlers, PieceAdmission } from '../seams.ts';
import { createSmallBlobsAnswerer } from './answer-small-blobs.ts';
import type { AwaitedConnections } from './awaited-connections.ts';
import { CAPABILITIES_PATH, createCapabilityAnswerer } from './capabilities-http.ts';
import { answerDhtDoor, DHT_DOOR_PATH } from './dht-door.ts';
import { MemberConnections } from './member-connections.ts';
import { isFrom, memberOf } from './peer-member.ts';
import { createPeerServer } from './peer-server.ts';
import { FREE_SLOTS_HEADER, NODE_HEADER, PIECE_PATH, parsePieceRequest } from './piece-request.ts';
import { isReversed, takeReversed } from './reversed.ts';
import { sendPiece } from './send-piece.ts';
import { SMALL_BLOBS_PATH } from './small-blobs-http.ts';

const OTHER_ADDRESS = 'give another address (--help says how), or port 0 for any free one';
const KEEP_ALIVE_TIMEOUT_MS = 60_000;
const HEADERS_TIMEOUT_MS = 5000;
/** Node looks for overdue heads only this often; its default of 30 s would make the 5 s above meaningless. */
const HEADERS_CHECK_MS = 1000;
/** Ours are under 300 bytes. */
const MAX_HEAD_BYTES = 8 * 1024;
/** How long close() lets uploads and link farewells run. */
const CLOSE_GRACE_MS = 2000;

export interface PeerListenerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Uploads borrow their memory here. */
  readonly pool: BufferPool;
  /** Connections that peers were asked for. */
  readonly awaited: AwaitedConnections;
  /** Told of connections that could not prove to be a peer's. */
  readonly onStranger?: ((reason: string) => void) | undefined;
}

/** Answers requests on a connection that we have opened ourselves. @returns false, and ends it, when it cannot be taken */
export type ServeConnection = (socket: Socket) => boolean;

/**
 * Serves pieces and links on one port.
 * @throws CONFIG_INVALID when the address cannot be listened on
 */
export async function listenForPeers(
  address: ListenPlace,
  handlers: PeerServerHandlers,
  deps: PeerListenerDeps,
  options: {
    readonly maxConnections: () => number;
    readonly maxNewPerSecond: number;
    readonly reusePort: boolean;
    readonly credentials: Credentials | undefined;
  },
): Promise<{ readonly listener: PeerListener; readonly serve: ServeConnection }> {
  const { awaited, clock, log } = deps;
  const answerSmallBlobs = createSmallBlobsAnswerer(handlers.smallBlobs?.bind(handlers));
  const answerCapability = createCapabilityAnswerer(handlers.capability?.bind(handlers), deps);
  const sockets = new Set<Socket>();
  /** Came when there were as many connections as may be. */
  const excess = new WeakSet<Duplex>();
  /** Came when there had been as many within a second. */
  const hasty = new WeakSet<Duplex>();
  const newcomers = { sinceMs: clock.now(), count: 0 };
  const isHasty = (): boolean => {
    const now = clock.now();
    if (now - newcomers.sinceMs >= 1000) Object.assign(newcomers, { sinceMs: now, count: 0 });
    return ++newcomers.count > options.maxNewPerSecond;
  };
  const refuses = (socket: Duplex): boolean =>
    hasty.has(socket) || (excess.has(socket) && sockets.size > options.maxConnections());
  const links = new Set<WsLink>();
  let uploads = 0;
  let closing: Promise<void> | undefined;
  let noticeQuiet = (): void => {};
  const checkQuiet = (): void => {
    if (uploads === 0 && links.size === 0) noticeQuiet();
  };

  const limits = {
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    // The same limit: a request is its head, or a short question behind it.
    requestTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: HEADERS_CHECK_MS,
    maxHeaderSize: MAX_HEAD_BYTES,
    noDelay: true,
  };
  const server = createPeerServer(limits, options.credentials, deps);
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });

  const servePiece = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const wanted = parsePieceRequest({
      path: request.url ?? '',
      range: request.headers.range,
      node: header(request, NODE_HEADER),
    });
    if (wanted === undefined) return answer(response, 400, 'not a piece request');
    if (!isFrom(request.socket, wanted.from)) return refuse(response, { kind: 'unknown' });
    const admission = handlers.piece(wanted);
    if (admission.kind !== 'serve') return refuse(response, admission);
    if (wanted.range.end > admission.size) {
      admission.done(0);
      return answer(response, 416, 'the range lies outside the blob');
    }
    uploads++;
    try {
      await sendPiece(response, admission, wanted.range, deps);
    } catch (error) {
      log.debug({ error: describeError(error), digest: wanted.digest }, 'an upload ended early');
    } finally {
      uploads--;
      checkQuiet();
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // A stranger's: what came with its handshake is parsed although the connection was refused.
    if (request.socket.destroyed) return;
    response.sendDate = false;
    response.on('error', () => {});
    const isQuestion = request.method === 'POST' && request.url === SMALL_BLOBS_PATH;
    const isRight = request.method === 'POST' && request.url === CAPABILITIES_PATH;
    const isPiece = request.method === 'GET' && request.url?.startsWith(PIECE_PATH) === true;
    // A question for the right is short, and who is sent away with it comes back: those are bounded where they are read.
    const refused = (isQuestion || isPiece) && (closing !== undefined || refuses(request.socket));
    if (refused || (isRight && closing !== undefined)) {
      if (closing === undefined) response.shouldKeepAlive = false;
      refuse(response, { kind: 'busy', freeSlots: 0 });
    } else if (isQuestion) {
      await answerSmallBlobs(request, response);
    } else if (isRight) {
      await answerCapability(request, response);
    } else if (hasBody(request)) answer(response, 400, 'no body expected');
    else if (isPiece) await servePiece(request, response);
    else if (request.method === 'GET' && request.url === DHT_DOOR_PATH) {
      await answerDhtDoor(response, handlers.dhtDoor?.bind(handlers));
    } else answer(response, 404, 'only pieces and links are served here');
  };

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    if (socket.destroyed) return;
    // A browser always sends Origin: no web page may talk to the cluster through its visitor.
    const known = request.url === LINK_PATH || isReversed(request);
    if (!known || request.headers.origin !== undefined || closing !== undefined) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (refuses(socket)) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    if (isReversed(request)) {
      takeReversed(request, socket, head, awaited);
      return;
    }
    webSockets.handleUpgrade(request, socket, head, (ws) => {
      const link = createWsLink(ws, request.socket, deps);
      links.add(link);
      void link.closed.then(() => {
        links.delete(link);
        checkQuiet();
      });
      try {
        handlers.link(link.link);
      } catch (error) {
        log.error({ error: describeError(error) }, 'a link could not be taken');
        link.terminate();
      }
    });
  };

  server.on('request', (request, response) => {
    serve(request, response).catch((error: unknown) => {
      log.error({ error: describeError(error) }, 'a piece request failed');
      response.destroy();
    });
  });
  server.on('upgrade', upgrade);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    const most = options.maxConnections();
    // Whoever comes beyond that is told to ask elsewhere; so many who do not even ask are cut off.
    server.maxConnections = 2 * most;
    if (options.credentials === undefined && isHasty()) hasty.add(socket);
    if (sockets.size > most) {
      excess.add(socket);
      server.closeIdleConnections();
    }
    socket.once('close', () => sockets.delete(socket));
  });
  const members = new MemberConnections(options.maxConnections);
  server.on('secureConnection', (socket: Socket) => {
    const member = socket.destroyed ? undefined : memberOf(socket);
    if (member !== undefined && !members.admits(socket, member.id)) {
      deps.onStranger?.('too-many');
      socket.destroy();
      return;
    }
    if (isHasty()) hasty.add(socket);
    if (sockets.size > options.maxConnections()) excess.add(socket);
  });

  const serveOpened: ServeConnection = (socket) => {
    if (closing !== undefined || socket.destroyed || sockets.size >= options.maxConnections()) {
      socket.destroy();
      return false;
    }
    if (options.credentials === undefined) server.emit('connection', socket);
    else {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      server.emit('secureConnection', socket);
    }
    return !socket.destroyed;
  };

  await listen(address);
  server.on('error', (error) => log.error({ error: describeError(error) }, 'the peer port failed'));

  function listen(place: ListenPlace): Promise<void> {
    const { fd, host, port } = place;
    return new Promise((resolve, reject) => {
      server.once('error', (error) => {
        reject(
          new DamselflyError(
            'CONFIG_INVALID',
            `cannot listen on ${host}:${port}: ${error.message}; ${OTHER_ADDRESS}`,
          ),
        );
      });
      server.listen(
        { ...listenOptions(place), ...(fd === undefined ? { reusePort: options.reusePort } : {}) },
        () => {
          server.removeAllListeners('error');
          resolve();
        },
      );
    });
  }

  async function close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    const quiet = new Promise<void>((resolve) => {
      noticeQuiet = resolve;
    });
    const cancelGrace = clock.after(CLOSE_GRACE_MS, noticeQuiet);
    for (const link of links) link.end(CloseCode.goingAway, 'shutting down');
    checkQuiet();
    await quiet;
    cancelGrace();
    for (const socket of sockets) socket.destroy();
    await stopped;
  }

  const listener: PeerListener = {
    address: { host: address.host, port: (server.address() as AddressInfo).port },
    get fd() {
      return descriptorOf(server);
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
  return { listener, serve: serveOpened };
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return typeof value === 'string' ? value : undefined;
}

function hasBody(request: IncomingMessage): boolean {
  return (
    (request.headers['content-length'] ?? '0') !== '0' || request.headers['transfer-encoding'] !== undefined
  );
}

function refuse(response: ServerResponse, admission: Exclude<PieceAdmission, { kind: 'serve' }>): void {
  if (admission.kind === 'unknown') response.writeHead(404, { 'Content-Length': 0 });
  else response.writeHead(503, { 'Content-Length': 0, [FREE_SLOTS_HEADER]: admission.freeSlots });
  response.end();
}

/** For whoever is not one of our transports: says what is wrong and ends the connection. */
function answer(response: ServerResponse, status: number, message: string): void {
  const body = JSON.stringify({ error: message });
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}
