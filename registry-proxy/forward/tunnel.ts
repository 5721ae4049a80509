import { connect, type Socket } from 'node:net';
import { guardedLookup } from '../../lib/origin/http/guarded-lookup.ts';
import type { Destination } from './destination.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than the silence of any client that still wants something. */
const IDLE_MS = 10 * 60_000;

/** Joins the client's connection with one to `to`, byte for byte, until either ends. */
export function openTunnel(client: Socket, to: Destination, clientIsLocal: boolean): void {
  const { host, port } = to;
  const remote = connect({ host, port, lookup: guardedLookup(clientIsLocal), noDelay: true });
  remote.setTimeout(CONNECT_TIMEOUT_MS, () => remote.destroy(new Error('no answer')));
  let joined = false;
  remote.once('connect', () => {
    joined = true;
    remote.setTimeout(IDLE_MS);
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    client.pipe(remote);
    remote.pipe(client);
  });
  remote.on('error', (error) => {
    if (!joined) refuseConnect(client, 502, `cannot connect to ${host}:${port}: ${error.message}`);
  });
  remote.on('close', () => {
    if (joined) client.destroySoon();
  });
  client.on('error', () => remote.destroy());
  client.on('close', () => remote.destroy());
}

/** The answer to a CONNECT that leads nowhere. */
export function refuseConnect(client: Socket, status: 400 | 403 | 405 | 502, message: string): void {
  const reasons = { 400: 'Bad Request', 403: 'Forbidden', 405: 'Method Not Allowed', 502: 'Bad Gateway' };
  const body = `${message}\n`;
  client.on('error', () => client.destroy());
  client.end(
    `HTTP/1.1 ${status} ${reasons[status]}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => client.destroySoon(),
  );
}
