import { once } from 'node:events';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';

export interface ProxyAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What a proxy says to CONNECT, and the connection when it says 200. */
export async function connectThrough(
  port: number,
  target: string,
  host = '127.0.0.1',
): Promise<{ readonly status: number; readonly socket: Socket }> {
  const request = httpRequest({ host, port, method: 'CONNECT', path: target });
  request.end();
  const [response, socket] = (await once(request, 'connect')) as [IncomingMessage, Socket];
  return { status: response.statusCode ?? 0, socket };
}

/** TLS with `host` through the proxy, trusting only this authority. @throws the handshake's error */
export async function secureThrough(
  port: number,
  target: string,
  ca: string | undefined,
  host?: string,
): Promise<TLSSocket> {
  const { status, socket } = await connectThrough(port, target, host);
  if (status !== 200) throw new Error(`CONNECT: ${status}`);
  const servername = target.slice(0, target.lastIndexOf(':'));
  const secured = connectTls({ socket, servername, ...(ca === undefined ? {} : { ca }) });
  await once(secured, 'secureConnect');
  return secured;
}

/** One https request by way of HTTPS_PROXY. */
export async function askThrough(
  proxy: { readonly host?: string; readonly port: number; readonly ca: string },
  url: string,
  options: {
    readonly method?: string;
    readonly headers?: Record<string, string>;
    readonly body?: Uint8Array;
  } = {},
): Promise<ProxyAnswer> {
  const { host, hostname, pathname, port, search } = new URL(url);
  const socket = await secureThrough(proxy.port, `${hostname}:${port || 443}`, proxy.ca, proxy.host);
  const headers = { host, ...options.headers };
  const path = `${pathname}${search}`;
  const request = httpRequest({
    createConnection: () => socket,
    method: options.method ?? 'GET',
    path,
    headers,
  });
  request.end(options.body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const body = Buffer.concat((await response.toArray()) as Buffer[]);
  socket.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

/** Sends these bytes and returns everything that comes back until the other side hangs up. */
export async function say(port: number, text: string): Promise<string> {
  const socket = connectTcp(port, '127.0.0.1');
  socket.write(text);
  let answer = '';
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
  });
  await once(socket, 'close');
  return answer;
}
