import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { describeError } from '../../lib/core/errors.ts';
import type { ListenPlace } from '../../lib/core/listen-place.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { isHttp } from '../../lib/origin/upstream.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { sendError } from '../answer.ts';
import type { Answerer } from '../dispatch.ts';
import type { Drain } from '../drain.ts';
import { listen } from '../listener.ts';
import { chooseUpstream } from '../upstream-name.ts';
import { openAuthority } from './authority.ts';
import { type Destination, isLoopback, parseAuthority, refusalOf, registryName } from './destination.ts';
import { forwardPlainly } from './plain.ts';
import { type ForwardRule, ruleFor } from './rules.ts';
import { openTunnel, refuseConnect } from './tunnel.ts';

export interface ForwardProxyConfig extends ListenPlace {
  readonly rules: readonly ForwardRule[];
  /** Where the certificate authority is kept. */
  readonly folder: string;
}

export interface ForwardProxyDeps {
  readonly origin: OriginClient;
  readonly answer: Answerer;
  readonly drain: Drain;
  /** Our name in Via. */
  readonly pseudonym: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly wallClockMs: () => number;
  readonly closing: AbortSignal;
}

export interface ForwardProxy {
  readonly server: Server;
  readonly certificateFile: string;
  /** Ends every tunnel. */
  cut(): void;
  /** Ends the tunnels to other hosts that have carried nothing since the call before. */
  cutIdle(): void;
}

/** Connections that we answer in the name of a registry. */
interface Intercepted {
  readonly upstream: string;
  /** `https://` and the registry's name. */
  readonly origin: string;
}

const HANDSHAKE_MS = 10_000;
const HTTPS_PORT = 443;
const HTTP_PORT = 80;

/**
 * A proxy for clients that are told of it by HTTPS_PROXY. Connections to the configured registries are answered here, with
 * a certificate of our own authority: pulls come from the swarm, everything else is passed through. All others are
 * tunnelled untouched.
 * @throws CONFIG_INVALID
 */
export async function startForwardProxy(
  deps: ForwardProxyDeps,
  config: ForwardProxyConfig,
): Promise<ForwardProxy> {
  const { log, origin, pseudonym } = deps;
  const { rules, ...place } = config;
  const authority = await openAuthority(deps, config.folder);
  const intercepted = new WeakMap<Socket, Intercepted>();
  const tunnels = new Set<Socket>();
  /** Those to other hosts, and the bytes they had carried when somebody last looked. */
  const blind = new Map<Socket, number>();

  const upstreamAt = (name: string): string | undefined => {
    const question = { upstreams: origin.upstreams, ns: name, name: undefined };
    const choice = chooseUpstream({ ...question, listenerUpstream: undefined, defaultUpstream: undefined });
    return choice.kind === 'found' ? choice.upstream : undefined;
  };

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const { url: target = '', socket } = request;
    const inside = intercepted.get(socket);
    if (inside !== undefined) {
      const { direct } = ruleFor(rules, `${inside.origin}${target.split('?')[0]}`);
      void deps.answer(request, response, { upstream: inside.upstream, transparent: { direct } });
      return;
    }
    const url = URL.parse(target);
    if (url === null || !isHttp(url)) {
      const message = 'this is a forward proxy: name it in HTTPS_PROXY, or ask the registry mirror';
      sendError(response, { status: 400, code: 'UNSUPPORTED', message });
      return;
    }
    const { direct, useHttps } = ruleFor(rules, `${url.origin}${url.pathname}`);
    const destination = { host: url.hostname, port: Number(url.port || HTTP_PORT) };
    const upstream = upstreamAt(registryName(destination, HTTP_PORT));
    if (upstream !== undefined) {
      request.url = `${url.pathname}${url.search}`;
      void deps.answer(request, response, { upstream, transparent: { direct } });
      return;
    }
    if (useHttps) url.protocol = 'https:';
    const seen = request.headers['via'];
    const via = `${seen === undefined ? '' : `${seen}, `}1.1 ${pseudonym}`;
    if (seen?.includes(pseudonym) === true) {
      sendError(response, { status: 508, code: 'UNAVAILABLE', message: 'the proxy was asked to ask itself' });
    } else forwardPlainly(request, response, { url, via, clientIsLocal: isLocal(socket) });
  };

  const at = { flag: '--forward-proxy', ...place, requestTimeoutMs: 0 };
  const server = await listen(at, deps.drain, handle);

  const intercept = async (client: Socket, to: Destination, found: Intercepted): Promise<void> => {
    const context = await authority.contextFor(to.host, deps.closing);
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    const secured = secure(deps, client, context, (error) => {
      const { certificateFile } = authority;
      log.warn({ host: to.host, certificateFile, error }, distrust(certificateFile));
    });
    intercepted.set(secured, found);
    secured.once('secure', () => server.emit('connection', secured));
  };

  server.on('connect', (request: IncomingMessage, stream, head: Buffer) => {
    const client = stream as Socket;
    deps.drain.forget(client);
    tunnels.add(client);
    client.on('close', () => {
      tunnels.delete(client);
      blind.delete(client);
    });
    const to = parseAuthority(request.url ?? '');
    if (intercepted.has(client)) refuseConnect(client, 405, 'a registry is no proxy');
    else if (to === undefined) refuseConnect(client, 400, 'CONNECT wants host:port');
    else {
      if (head.length > 0) client.unshift(head);
      const name = registryName(to, HTTPS_PORT);
      const origin = `https://${name}`;
      const upstream = upstreamAt(name);
      const refusal = refusalOf(to, isLocal(client));
      if (upstream !== undefined && !ruleFor(rules, `${origin}/`).direct) {
        client.on('error', () => client.destroy());
        intercept(client, to, { upstream, origin }).catch((error: unknown) => {
          log.error({ host: to.host, error: describeError(error) }, 'no certificate could be made');
          client.destroy();
        });
      } else if (refusal === undefined) {
        blind.set(client, -1);
        openTunnel(client, to, isLocal(client));
      } else refuseConnect(client, 403, refusal);
    }
  });

  return {
    server,
    certificateFile: authority.certificateFile,
    cut: () => {
      for (const tunnel of tunnels) tunnel.destroy();
    },
    cutIdle: () => {
      for (const [tunnel, before] of blind) {
        const carried = tunnel.bytesRead + tunnel.bytesWritten;
        if (carried === before) tunnel.destroySoon();
        else blind.set(tunnel, carried);
      }
    },
  };
}

/** The server's side of TLS on a connection. @param failed the handshake came to nothing */
function secure(
  { clock }: Pick<ForwardProxyDeps, 'clock'>,
  client: Socket,
  secureContext: SecureContext,
  failed: (why: string) => void,
): TLSSocket {
  const secured = new TLSSocket(client, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
  let done = false;
  const cancel = clock.after(HANDSHAKE_MS, () => secured.destroy(new Error('no TLS handshake')));
  secured.once('secure', () => {
    done = true;
    cancel();
  });
  secured.on('error', (error: Error) => {
    if (!done) failed(error.message);
    secured.destroy();
  });
  secured.once('close', () => {
    cancel();
    client.destroy();
  });
  return secured;
}

function distrust(certificateFile: string): string {
  return `a client broke off the TLS handshake with the forward proxy: it must trust ${certificateFile}`;
}

function isLocal(socket: Socket): boolean {
  return isLoopback(socket.remoteAddress ?? '');
}
