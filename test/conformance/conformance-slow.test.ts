import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { send, startFaultOrigin } from '../helpers/fault-origin.ts';
import { ask, startProxy, warmSource } from '../registry-proxy/fixture.ts';

const MIB = 1024 * 1024;
/** The proxy waits 10 s for a head, and looks every 5 s. */
const HEAD_LIMIT_MS = 20_000;

const blob = Buffer.alloc(8 * MIB, 7);
const digest = digestOf(blob);
const origin = await startFaultOrigin((_request, response) =>
  send(response, 200, '{}', { 'content-length': String(blob.length) }),
);
const proxy = await startProxy([{ name: 'reg.test', url: origin.url }], { blobs: warmSource(blob) });
t.teardown(() => Promise.all([proxy.close(), origin.close()]));

function open(): Socket {
  return connect(proxy.port, '127.0.0.1').on('error', () => {});
}

/** How long the proxy keeps the connection while a byte a second comes. */
async function keptMs(socket: Socket, first: string, drip: string): Promise<number> {
  const startMs = performance.now();
  socket.write(first);
  socket.resume();
  const dripping = setInterval(() => socket.write(drip), 1000);
  await once(socket, 'close');
  clearInterval(dripping);
  return performance.now() - startMs;
}

t.test(
  'case 53: heads that do not end, and those that do not begin, are not waited for',
  { timeout: 60_000 },
  async (t) => {
    const kept = await Promise.all([
      keptMs(open(), 'GET /v2/ HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n'),
      keptMs(open(), 'GET /v2/', 'x'),
      keptMs(open(), '', ''),
    ]);
    for (const ms of kept) t.ok(ms <= HEAD_LIMIT_MS, `${(ms / 1000).toFixed(1)} s`);
  },
);

t.test('case 53: a body that does not end is not read', { timeout: 60_000 }, async (t) => {
  const socket = open();
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
  });
  const head = 'POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n';
  const ms = await keptMs(socket, head, 'x');
  t.match(said, /^HTTP\/1\.1 405 /);
  t.ok(ms < 5_000, `${(ms / 1000).toFixed(1)} s`);
});

t.test('case 53: readers that take nothing take nobody’s answer', { timeout: 60_000 }, async (t) => {
  const path = `/v2/a/blobs/${digest}?ns=reg.test`;
  const readers = Array.from({ length: 300 }, () => {
    const socket = open();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    return socket;
  });
  t.teardown(() => {
    for (const socket of readers) socket.destroy();
  });
  await Promise.all(readers.map((socket) => once(socket, 'readable')));
  const answer = await ask(proxy.port, path);
  t.equal(answer.status, 200);
  t.ok(answer.body.equals(blob));
});
