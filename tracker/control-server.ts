import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { ListenAddress } from '../lib/config/values.ts';
import { describeError } from '../lib/core/errors.ts';
import { wsControlLink } from '../lib/discovery/tracker/ws-control-link.ts';
import { NEEDS_TOKEN, showsToken } from '../lib/observe/admin-server.ts';
import { ACTS } from '../lib/security/acts.ts';
import type { MemberIdentity } from '../lib/security/identity.ts';
import { identityOf } from '../lib/security/member.ts';
import { createMemberServer } from '../lib/security/system/member-server.ts';
import { shownCertificate } from '../lib/security/system/mutual-tls.ts';
import { CONTROL_PATH, MAX_CONTROL_BYTES } from '../lib/wire/control-messages.ts';
import { CloseCode, ControlSession, type ControlSessionDeps } from './control-session.ts';
import { listen } from './listen.ts';

/** How long members have to answer a closing handshake before their sockets are cut. */
const CLOSE_TIMEOUT_MS = 1_000;

/** From then on the kernel looks each second, ten times, whether the machine behind an idle connection is still there. */
const KEEP_ALIVE_MS = 10_000;

/** A request is a short head: for an upgrade, or for health and metrics. */
const REQUEST_TIMEOUT_MS = 10_000;

const INSECURE = ['insecure: control connections are neither encrypted nor authenticated'];

export interface ControlServer {
  readonly address: ListenAddress;
  /** Ends every connection. A second call waits for the first. */
  close(): Promise<void>;
}

/**
 * The tracker's control port: members' WebSockets at {@link CONTROL_PATH}, and health and metrics.
 * @throws CONFIG_INVALID when the address cannot be listened on
 */
export async function createControlServer(
  deps: ControlSessionDeps & {
    /** For `/readyz`: what is wrong now. */
    readonly notes: () => readonly string[];
    /** A member has come to this address of this machine. @returns to be called when it has gone */
    readonly reachedAt: (address: string | undefined) => () => void;
    /** Without identities: what has to be shown for the metrics. @default nothing */
    readonly adminToken?: string | undefined;
  },
  address: ListenAddress,
): Promise<ControlServer> {
  const { log, metrics, clock, credentials } = deps;
  // With identities nobody but members comes as far.
  const needsToken = credentials === undefined ? deps.adminToken : undefined;
  let closing: Promise<void> | undefined;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_CONTROL_BYTES,
    perMessageDeflate: false,
  });
  const server = createPort(deps, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      log.error({ problem: describeError(error) }, 'admin request failed');
      response.destroy();
    });
  });

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // A stranger's: what came with its handshake is parsed although the connection was refused.
    if (request.socket.destroyed) return;
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405, 'only GET\n');
    if (path === '/healthz') return endJson(response, 200, { status: 'ok' });
    if (path === '/readyz') {
      const listening = closing === undefined;
      const status = listening ? 'ready' : 'not ready';
      return endJson(response, listening ? 200 : 503, {
        status,
        checks: { listening },
        notes: [...(credentials === undefined ? INSECURE : []), ...deps.notes()],
      });
    }
    if (path === '/metrics') {
      if (needsToken !== undefined && !showsToken(request.headers, needsToken)) {
        response.setHeader('www-authenticate', 'Bearer');
        return end(response, 401, `${NEEDS_TOKEN}\n`);
      }
      response.setHeader('content-type', metrics.registry.contentType);
      return end(response, 200, await metrics.registry.metrics());
    }
    return end(response, 404, `nothing here; members connect to ${CONTROL_PATH}\n`);
  };

  server.on('upgrade', (request, socket, head) => {
    socket.on('error', (error) => log.debug({ problem: describeError(error) }, 'upgrade failed'));
    if (socket.destroyed) return;
    const path = request.url?.split('?')[0];
    if (path !== CONTROL_PATH) return refuseUpgrade(socket, '404 Not Found');
    // Members are no browsers: a page that a user happens to open must not join the cluster through the user's machine.
    if (request.headers.origin !== undefined) return refuseUpgrade(socket, '403 Forbidden');
    if (closing !== undefined) return refuseUpgrade(socket, '503 Service Unavailable');
    const remoteHost = request.socket.remoteAddress?.replace(/^::ffff:/, '');
    if (remoteHost === undefined) return void socket.destroy();
    socket.once('close', deps.reachedAt(request.socket.localAddress));
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      new ControlSession(
        wsControlLink(webSocket, { accepted: socket }),
        remoteHost,
        deps,
        memberOf(request.socket),
      );
    });
  });

  const bound = await listen(server, address);
  server.on('error', (error) => log.error({ problem: describeError(error) }, 'control port failed'));
  return {
    address: bound,
    close: () => {
      closing ??= closeServer(server, sockets, (cut) => clock.after(CLOSE_TIMEOUT_MS, cut));
      return closing;
    },
  };
}

/** Plain, or over mutual TLS for nodes and supernodes of the cluster alone. */
function createPort(
  { credentials, log, metrics }: ControlSessionDeps,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const limits = { headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS };
  const options = { ...limits, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  if (credentials === undefined) return createServer(options, answer);
  const refused = (socket: Socket, reason: string): void => {
    metrics.refused.inc({ reason: 'identity' });
    log.warn(
      { remoteHost: socket.remoteAddress, reason },
      'a control connection without the identity of a member',
    );
  };
  return createMemberServer({ credentials, roles: ACTS.announce, refused }, options, answer);
}

/** Who has proved to be at the other end; undefined where nobody has to. */
function memberOf(socket: Socket): MemberIdentity | undefined {
  const shown = shownCertificate(socket);
  return shown === undefined ? undefined : identityOf(shown);
}

async function closeServer(
  server: Server,
  sockets: WebSocketServer,
  after: (cut: () => void) => () => void,
): Promise<void> {
  for (const socket of sockets.clients) socket.close(CloseCode.goingAway, 'tracker stops');
  const cancel = after(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
  cancel();
}

function endJson(response: ServerResponse, status: number, body: object): void {
  response.setHeader('content-type', 'application/json; charset=utf-8');
  end(response, status, JSON.stringify(body));
}

function end(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  response.end(body);
}

function refuseUpgrade(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
