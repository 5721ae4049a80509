import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { Link, PeerServerHandlers } from '../../lib/transfer/seams.ts';
import { MEDIUM_PEER, type Medium } from './medium.ts';
import { defer, listenTo, patternBytes, servedBlob, within } from './peer-network-parts.ts';

const MIB = 1024 * 1024;
const blob = Buffer.from(patternBytes(16 * MIB));
const digest = digestOf(blob);
const NODE = `Damselfly-Node: ${MEDIUM_PEER}`;
const get = (range: string, ...headers: string[]): string =>
  [`GET /v1/blobs/${digest} HTTP/1.1`, 'Host: x', `Range: bytes=${range}`, NODE, ...headers, '', ''].join(
    '\r\n',
  );

/** What the peer port makes of clients that break the rules. */
export async function hostileClientSuite(t: Test, medium: Medium): Promise<void> {
  /** A listening peer and raw connections to it. */
  async function peer(
    t: Test,
    handlers: Partial<PeerServerHandlers> = {},
    options: { clock?: Clock; maxConnections?: number; maxNewPerSecond?: number } = {},
  ) {
    const clock = options.clock ?? createSystemClock();
    const { maxConnections, maxNewPerSecond } = options;
    const network = createHttpPeerNetwork(
      { clock, log: silentLog() },
      {
        ...medium.network,
        ...(maxConnections === undefined ? {} : { maxConnections: () => maxConnections }),
        ...(maxNewPerSecond === undefined ? {} : { maxNewPerSecond }),
      },
    );
    const links: Link[] = [];
    const listener = await network.listen(
      { host: '127.0.0.1', port: 0 },
      { piece: () => servedBlob(blob), link: (link) => void links.push(link), ...handlers },
    );
    const { port } = listener.address;
    const sockets: Socket[] = [];
    t.teardown(async () => {
      for (const socket of sockets) socket.destroy();
      await listener.close();
    });
    const start = (): Socket => {
      const socket = medium.open(port);
      sockets.push(socket);
      socket.on('error', () => {});
      return socket;
    };
    const open = async (): Promise<Socket> => {
      const socket = start();
      await medium.opened(socket);
      return socket;
    };
    /** Sends and collects everything until the peer closes, or until so many bytes. */
    const talk = async (request: string | Buffer, until = Number.POSITIVE_INFINITY): Promise<Buffer> => {
      const socket = await open();
      const answer = defer<Buffer>();
      let received = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.length >= until) answer.resolve(received);
      });
      socket.once('close', () => answer.resolve(received));
      socket.write(request);
      return within(answer.promise, 'answer');
    };
    const dial = async (path = '/v1/link', headers: Record<string, string> = {}): Promise<WebSocket> => {
      const ws = new WebSocket(`${medium.webSocket.scheme}://127.0.0.1:${port}${path}`, {
        ...medium.webSocket.options,
        headers,
      });
      ws.on('error', () => {});
      t.teardown(() => ws.terminate());
      await Promise.race([
        once(ws, 'open'),
        once(ws, 'unexpected-response').then(() => Promise.reject(new Error('refused'))),
      ]);
      return ws;
    };
    return { listener, links, start, open, talk, dial };
  }

  await t.test('only an exact piece request is answered with bytes', async (t) => {
    const { talk } = await peer(t);
    const wrong: [number, string][] = [
      [400, get('0-9').replace(/Range.*\r\n/, '')],
      [400, get('0-9,20-29')],
      [400, get('-10')],
      [400, get('10-')],
      [400, get('9-0')],
      [400, get('0-9', 'Range: bytes=0-9')],
      [400, get(`0-${16 * MIB}`)],
      [400, get('0-99999999999999999999')],
      [400, get('0-9').replace(NODE, 'X: y')],
      [400, get('0-9').replace(digest, 'sha256:zz')],
      [400, get('0-9').replace(digest, '../../etc/passwd')],
      [400, get('0-9', 'Content-Length: 5')],
      [400, get('0-9', 'Transfer-Encoding: chunked')],
      [416, get(`${16 * MIB - 5}-${16 * MIB}`)],
      [404, get('0-9').replace('GET', 'PUT')],
      [404, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
      [400, 'GET / HTTP/1.1\r\nHost : x\r\n\r\n'],
      [431, get('0-9', `X: ${'x'.repeat(9000)}`)],
      [400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ];
    for (const [status, request] of wrong) {
      const answer = (await talk(request)).toString();
      t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), JSON.stringify(request.slice(0, 150)));
      t.notMatch(answer, /^Date/m);
    }
    const right = await talk(get('5-9'), 1);
    t.match(
      right.toString('latin1'),
      /^HTTP\/1.1 206 [^]*Content-Length: 5\r\nContent-Range: bytes 5-9\/16777216\r\n/,
    );
  });

  await t.test('requests sent ahead are answered in order, garbage ends its connection only', async (t) => {
    const { talk } = await peer(t);
    const answer = await talk(`${get('0-99')}${get('1000-1099', 'Connection: close')}`);
    const at = [answer.indexOf(blob.subarray(0, 100)), answer.indexOf(blob.subarray(1000, 1100))];
    t.ok((at[0] ?? -1) > 0 && (at[1] ?? -1) > (at[0] ?? -1));
    const cut = await talk(`${get('0-99')}garbage\r\n\r\n`);
    t.equal(cut.indexOf(blob.subarray(0, 100)), -1, 'the answer under way ends with its connection');
    t.match((await talk(get('0-0'), 1)).toString('latin1'), /206/, 'others are served');
  });

  await t.test(
    'a slow reader costs one chunk of memory, which is given back, and loses its slot after a while',
    async (t) => {
      const clock = new FakeClock();
      let reads = 0;
      const admission = servedBlob(blob);
      const stuck = defer<void>();
      const read = async (offset: number, into: Uint8Array): Promise<void> => {
        reads = offset + into.length;
        await admission.read(offset, into);
        stuck.resolve();
      };
      const { open } = await peer(t, { piece: () => ({ ...admission, read }) }, { clock });
      const socket = await open();
      socket.pause();
      socket.write(get(`0-${16 * MIB - 1}`));
      await within(stuck.promise, 'the first read');
      // The rest is what the kernel takes; after that no timer but the stall of this upload is left.
      let before = -1;
      while (before !== reads) {
        before = reads;
        for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
      }
      t.ok(reads < 16 * MIB, `read ${reads} bytes ahead of the reader`);
      t.same(admission.sent, []);
      clock.advanceToNext();
      t.equal(clock.now(), 30_000);
      const sent = await within(admission.ended, 'done');
      t.ok(sent < 16 * MIB);
      t.equal(admission.sent.length, 1);
    },
  );

  await t.test('a head that takes too long is not waited for', async (t) => {
    const { talk } = await peer(t);
    t.match((await talk('GET /v1/blobs/')).toString(), /^HTTP\/1.1 408 /);
  });

  await t.test('who comes when there are enough connections is told to ask elsewhere', async (t) => {
    const { open, talk, dial } = await peer(t, {}, { maxConnections: 2 });
    const [first, second] = [await open(), await open()];
    const refused = (await talk(get('0-9'))).toString('latin1');
    t.match(refused, /^HTTP\/1.1 503 [^]*Damselfly-Free-Slots: 0/);
    const question = `POST /v1/small-blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}`;
    t.match(
      (await talk(question)).toString('latin1'),
      /^HTTP\/1.1 503 [^]*Connection: close/,
      'for small blobs too',
    );
    await t.rejects(within(dial(), 'dial'), { message: 'refused' });
    t.notOk(first.destroyed || second.destroyed, 'those that were there go on');
    first.destroy();
    await once(first, 'close');
    // It is the peer's side of the connection that counts, and that ends a moment later.
    let answer = '503';
    while (answer.includes('503')) answer = (await talk(get('0-9'), 1)).toString('latin1');
    t.match(answer, /^HTTP\/1.1 206 /, 'and then there is room again');
  });

  await t.test('a storm of connections is told to ask elsewhere until the second is over', async (t) => {
    const clock = new FakeClock();
    const { open, talk, dial } = await peer(t, {}, { clock, maxNewPerSecond: 3 });
    const answer = async (): Promise<string> => (await talk(get('0-9'), 1)).toString('latin1');
    await open();
    t.match(await answer(), /^HTTP\/1.1 206 /);
    t.match(await answer(), /^HTTP\/1.1 206 /, 'the third');
    t.match(await answer(), /^HTTP\/1.1 503 [^]*Damselfly-Free-Slots: 0/);
    await t.rejects(within(dial(), 'dial'), { message: 'refused' });
    clock.advanceToNext(clock.now() + 1000);
    t.match(await answer(), /^HTTP\/1.1 206 /);
  });

  await t.test('a connection that idles between two requests makes room', async (t) => {
    const { open, talk } = await peer(t, {}, { maxConnections: 1 });
    const idle = await open();
    idle.write(get('0-9'));
    await within(once(idle, 'data'), 'answer');
    const closed = once(idle, 'close');
    t.match((await talk(get('0-9'), 1)).toString('latin1'), /^HTTP\/1.1 206 /);
    await within(closed, 'close');
  });

  await t.test('twice as many connections as allowed are not even answered', async (t) => {
    const { start, open } = await peer(t, {}, { maxConnections: 1 });
    const [first, second] = [await open(), await open()];
    const third = start();
    await within(new Promise((resolve) => third.once('close', resolve)), 'close');
    t.notOk(first.destroyed || second.destroyed);
  });

  await t.test('a handler that throws ends that connection, not the server', async (t) => {
    let calls = 0;
    const { talk, dial, links } = await peer(t, {
      piece: () => {
        if (calls++ === 0) throw new Error('handler');
        return servedBlob(blob);
      },
      link: (link) => {
        if (links.push(link) === 1) throw new Error('handler');
        link.listen({
          message: () => {
            throw new Error('listener');
          },
          closed: () => {
            throw new Error('listener');
          },
        });
      },
    });
    t.equal((await talk(get('0-9'))).length, 0);
    t.match((await talk(get('0-9'), 1)).toString('latin1'), /206/);
    const first = await dial();
    await within(once(first, 'close'), 'close');
    const second = await dial();
    second.send(Buffer.from('x'));
    const [code] = (await within(once(second, 'close'), 'close')) as [number];
    t.equal(code, 1011);
  });

  await t.test('links are for peers: no other path, and no web page', async (t) => {
    const { dial, links } = await peer(t);
    await t.rejects(within(dial('/v1/other'), 'dial'), { message: 'refused' });
    await t.rejects(within(dial('/v1/link', { Origin: 'http://evil.test' }), 'dial'), { message: 'refused' });
    t.equal(links.length, 0);
    await within(dial(), 'dial');
    t.equal(links.length, 1);
  });

  await t.test('text, oversize and unmasked frames close the link', async (t) => {
    const { dial, links, talk } = await peer(t);
    const cases: [number, (ws: WebSocket) => void][] = [
      [1003, (ws) => ws.send('text')],
      [1009, (ws) => ws.send(new Uint8Array(4 * MIB + 1))],
    ];
    for (const [expected, misbehave] of cases) {
      const ws = await dial();
      const heard = listenTo(links.at(-1) as Link);
      misbehave(ws);
      const [code] = (await within(once(ws, 'close'), 'close')) as [number];
      t.equal(code, expected);
      await within(heard.closed, 'closed');
      t.same(heard.messages, []);
    }
    const upgrade = [
      'GET /v1/link HTTP/1.1',
      'Host: x',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ].join('\r\n');
    const unmasked = Buffer.concat([Buffer.from(`${upgrade}\r\n\r\n`), Buffer.from([0x82, 1, 7])]);
    t.match((await talk(unmasked)).toString('latin1'), /^HTTP\/1.1 101 /);
    const heard = listenTo(links.at(-1) as Link);
    await within(heard.closed, 'closed');
    t.same(heard.messages, []);
  });

  await t.test('closing does not wait for those who never finish', async (t) => {
    const admission = servedBlob(blob);
    const { listener, open, dial, links } = await peer(t, { piece: () => admission });
    const socket = await open();
    socket.pause();
    socket.write(get(`0-${16 * MIB - 1}`));
    const ws = await dial();
    ws.pause();
    const heard = listenTo(links[0] as Link);
    const since = performance.now();
    await within(listener.close(), 'close');
    t.ok(performance.now() - since < 5000);
    await within(admission.ended, 'done');
    await within(heard.closed, 'closed');
  });
}
