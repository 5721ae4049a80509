import { connect as netConnect, type Socket } from 'node:net';
import fc from 'fast-check';
import type { Test } from 'tap';
import { WebSocketServer } from 'ws';
import { digestOf } from '../../lib/core/digest.ts';
import { hasCode } from '../../lib/core/errors.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { parsePieceResponse } from '../../lib/transfer/http/piece-response.ts';
import type { Medium } from './medium.ts';
import { defer, listenTo, NEVER, patternBytes, within } from './peer-network-parts.ts';

const body = Buffer.from(patternBytes(100_000));
const digest = digestOf(body);
const RANGE = { start: 7, end: 7 + body.length };
const head = (status = '206 Partial Content', headers: Record<string, string | undefined> = {}): Buffer => {
  const all = {
    'Content-Length': String(body.length),
    'Content-Range': `bytes ${RANGE.start}-${RANGE.end - 1}/999999`,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return Buffer.from(`HTTP/1.1 ${[status, ...lines].join('\r\n')}\r\n\r\n`);
};
const good = Buffer.concat([head(), body]);

/** One turn of the event loop: what was written before is read on its own. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What the piece transport makes of servers that break the rules. */
export async function hostileServerSuite(t: Test, medium: Medium): Promise<void> {
  /** A server that does with each request what the script says, and a client with a clock of its own. */
  async function hostile(t: Test, script: (socket: Socket, request: number) => void | Promise<void>) {
    const sockets: Socket[] = [];
    let requests = 0;
    const server = medium.serve((socket) => {
      sockets.push(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('data', () => void script(socket, requests++));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const clock = new FakeClock();
    const client = createHttpPeerNetwork({ clock, log: silentLog() }, medium.network);
    t.teardown(async () => {
      await client.close();
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = { host: '127.0.0.1', port: (server.address() as { port: number }).port };
    const fetch = (options: { signal?: AbortSignal; onProgress?: (bytes: number) => void } = {}) => {
      const into = Buffer.alloc(body.length);
      const request = { address, from: 'c'.repeat(40), digest, range: RANGE };
      const fetched = client
        .fetch(request, into, { signal: NEVER, ...options })
        .then(() => into.equals(body));
      return within(fetched, 'fetch');
    };
    return { client, address, fetch, clock, sockets, requests: () => requests };
  }

  const closed = (socket: Socket): Promise<void> =>
    within(
      new Promise((resolve) => (socket.destroyed ? resolve() : socket.once('close', () => resolve()))),
      'close',
    );

  await t.test('a head may be split anywhere', async (t) => {
    let split = 0;
    const { fetch, sockets } = await hostile(t, async (socket) => {
      socket.write(good.subarray(0, split));
      await turn();
      await turn();
      socket.write(good.subarray(split));
    });
    for (split = 1; split <= head().length + 2; split++) t.ok(await fetch(), `split at ${split}`);
    t.equal(sockets.length, 1, 'over one connection');
  });

  await t.test('a head may come byte by byte', async (t) => {
    const { fetch } = await hostile(t, async (socket) => {
      for (const byte of head()) {
        socket.write(Uint8Array.of(byte));
        await turn();
      }
      socket.write(body);
    });
    t.ok(await fetch());
  });

  await t.test('a connection that ends early is PEER_UNREACHABLE', async (t) => {
    for (const length of [0, 1, head().length - 1, head().length, good.length - 1]) {
      const { fetch } = await hostile(t, (socket) => void socket.end(good.subarray(0, length)));
      await t.rejects(fetch(), { code: 'PEER_UNREACHABLE' }, `after ${length} bytes`);
    }
    const { fetch } = await hostile(t, (socket) => {
      socket.write(good.subarray(0, 50_000), () => medium.reset(socket));
    });
    await t.rejects(fetch(), { code: 'PEER_UNREACHABLE' }, 'by a reset');
  });

  await t.test(
    'whatever is not the answer to the request is PEER_PROTOCOL and ends the connection',
    async (t) => {
      const answers: Record<string, Buffer> = {
        'a whole blob': head('200 OK'),
        'a redirect': head('302 Found', { Location: 'http://elsewhere/' }),
        'an interim answer': Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'),
        'fewer bytes': head('206 x', { 'Content-Length': String(body.length - 1) }),
        'more bytes': head('206 x', { 'Content-Length': String(body.length + 1) }),
        'a length in another spelling': head('206 x', { 'Content-Length': `+${body.length}` }),
        'no length': head('206 x', { 'Content-Length': undefined }),
        'another range': head('206 x', { 'Content-Range': `bytes 8-${RANGE.end}/999999` }),
        'no range': head('206 x', { 'Content-Range': undefined }),
        'several ranges': head('206 x', {
          'Content-Type': 'multipart/byteranges',
          'Content-Range': undefined,
        }),
        chunks: head('206 x', { 'Transfer-Encoding': 'chunked' }),
        'two lengths': head('206 x', { 'content-length': String(body.length) }),
        'a folded header': head('206 x', { X: 'a\r\n b' }),
        'a space before the colon': head('206 x', { 'Content-Length ': String(body.length) }),
        'a bare line feed': head('206 x', { X: 'a\nContent-Length: 5' }),
        'HTTP/1.0': Buffer.from(`${head().toString('latin1').replace('HTTP/1.1', 'HTTP/1.0')}`),
        'HTTP/2': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        'a head of 17 KiB': head('206 x', { X: 'x'.repeat(17 * 1024) }),
        'an endless status line': Buffer.alloc(17 * 1024, 'x'),
        zeros: Buffer.from('\0\0\r\n\r\n'),
        'nothing but an end of head': Buffer.from('\r\n\r\n'),
      };
      for (const [what, answer] of Object.entries(answers)) {
        const { fetch, sockets } = await hostile(
          t,
          (socket) => void socket.write(Buffer.concat([answer, body])),
        );
        await t.rejects(fetch(), { code: 'PEER_PROTOCOL' }, what);
        await closed(sockets[0] as Socket);
      }
    },
  );

  await t.test('more bytes than asked for in one packet with the head are PEER_PROTOCOL', async (t) => {
    const answer = 'HTTP/1.1 206 x\r\nContent-Length: 2\r\nContent-Range: bytes 0-1/9\r\n\r\nabc';
    const { client, address } = await hostile(t, (socket) => void socket.write(answer));
    const request = { address, from: 'c', digest, range: { start: 0, end: 2 } };
    const fetched = client.fetch(request, new Uint8Array(2), { signal: NEVER });
    await t.rejects(within(fetched, 'fetch'), { code: 'PEER_PROTOCOL' });
  });

  await t.test('bytes that nobody asked for end the connection', async (t) => {
    const { fetch, sockets } = await hostile(t, async (socket) => {
      socket.write(good);
      await turn();
      await turn();
      socket.write('HTTP/1.1 206 Forged\r\n');
    });
    t.ok(await fetch());
    await closed(sockets[0] as Socket);
    t.ok(await fetch(), 'and the next request gets a fresh one');
    t.equal(sockets.length, 2);
  });

  await t.test(
    'a connection the peer closed meanwhile is replaced once, unless an answer had begun',
    async (t) => {
      const { fetch, sockets, requests } = await hostile(t, (socket, request) => {
        if (request === 1) socket.destroy();
        else if (request === 3) socket.end('HTTP');
        else if (request >= 5) socket.destroy();
        else socket.write(good);
      });
      t.ok(await fetch());
      t.ok(await fetch(), 'asked again on a new connection');
      t.equal(sockets.length, 2);
      await t.rejects(fetch(), { code: 'PEER_UNREACHABLE' });
      t.equal(requests(), 4, 'not asked again');
      t.ok(await fetch());
      await t.rejects(fetch(), { code: 'PEER_UNREACHABLE' });
      t.equal(requests(), 7, 'asked again once, not forever');
    },
  );

  await t.test('a refusal with a body, or Connection: close, ends the connection', async (t) => {
    const refusals = [
      'HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy',
      'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\nDamselfly-Free-Slots: many\r\n\r\n',
    ];
    for (const refusal of refusals) {
      const { fetch, sockets } = await hostile(t, (socket) => void socket.write(refusal));
      await t.rejects(fetch(), { code: 'PEER_BUSY', facts: { freeSlots: 0 } });
      await closed(sockets[0] as Socket);
    }
  });

  await t.test('at most four idle connections are kept, for thirty seconds', async (t) => {
    const gate = defer<void>();
    const { fetch, clock, sockets } = await hostile(t, async (socket) => {
      if (sockets.length === 6) gate.resolve();
      await gate.promise;
      socket.write(good);
    });
    t.same(await Promise.all(Array.from({ length: 6 }, () => fetch())), Array(6).fill(true));
    await within(
      (async () => {
        while (sockets.filter((socket) => !socket.destroyed).length > 4) await turn();
      })(),
      'the surplus to close',
    );
    t.ok(await fetch());
    t.equal(sockets.length, 6, 'an idle one is reused');
    while (clock.advanceToNext(29_999)) await turn();
    t.equal(sockets.filter((socket) => !socket.destroyed).length, 4);
    while (clock.advanceToNext(30_000)) await turn();
    await Promise.all(sockets.map(closed));
  });

  await t.test(
    'a peer that goes silent is given up after thirty seconds, one that does not answer after two',
    async (t) => {
      const { fetch, clock } = await hostile(t, (socket) => void socket.write(good.subarray(0, 50_000)));
      const begun = defer<void>();
      const transfer = fetch({ onProgress: () => begun.resolve() });
      await within(begun.promise, 'progress');
      const rejected = t.rejects(transfer, { code: 'PEER_UNREACHABLE', message: /silent/ });
      while (clock.advanceToNext()) await turn();
      await rejected;

      const deaf = createHttpPeerNetwork(
        { clock, log: silentLog() },
        { connect: (to) => netConnect({ ...to, host: 'nowhere.test', lookup: () => {} }) },
      );
      const address = { host: '127.0.0.1', port: 9 };
      const since = clock.now();
      const attempts = [
        deaf.fetch({ address, from: 'c', digest, range: RANGE }, new Uint8Array(body.length), {
          signal: NEVER,
        }),
        deaf.dial(address, { signal: NEVER }),
      ];
      const outcomes = Promise.allSettled(attempts);
      while (clock.advanceToNext(since + 2000)) await turn();
      for (const outcome of await within(outcomes, 'timeout')) {
        t.ok(outcome.status === 'rejected' && hasCode(outcome.reason, 'PEER_UNREACHABLE'));
      }
      await deaf.close();
    },
  );

  await t.test('what a progress listener throws ends the fetch, not the process', async (t) => {
    const { fetch } = await hostile(t, (socket) => void socket.write(good));
    const broken = (): void => {
      throw new Error('listener');
    };
    await t.rejects(fetch({ onProgress: broken }), { code: 'INTERNAL' });
    t.ok(await fetch());
  });

  await t.test('an abort in the very last progress call is an abort', async (t) => {
    const { fetch } = await hostile(t, (socket) => void socket.write(good));
    const abort = new AbortController();
    const onProgress = (bytes: number): void => void (bytes === body.length && abort.abort());
    await t.rejects(fetch({ signal: abort.signal, onProgress }), { code: 'ABORTED' });
  });

  await t.test('no head makes the parser do anything but answer or refuse', async (t) => {
    const line = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'HTTP/1.1 206 x',
        'HTTP/1.1 503 ',
        'HTTP/1.1 404',
        'Content-Length: 0',
        'Content-Range: bytes 7-9/10',
      ),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          return ['bytes', 'refused'].includes(parsePieceResponse(lines.join('\r\n'), RANGE).kind);
        } catch (error) {
          return hasCode(error, 'PEER_PROTOCOL');
        }
      }),
      { numRuns: 2000 },
    );
    t.pass('survived');
  });

  await t.test('an address that could smuggle something into a request is never used', async (t) => {
    const client = createHttpPeerNetwork({ clock: new FakeClock(), log: silentLog() }, medium.network);
    for (const host of ['a\r\nX: y', 'a b', '', 'user@host', 'a/b', '256.256.256.256', 'a%b']) {
      const address = { host, port: 80 };
      const request = { address, from: 'c', digest, range: RANGE };
      await t.rejects(client.fetch(request, new Uint8Array(body.length), { signal: NEVER }), {
        code: 'PEER_UNREACHABLE',
      });
      await t.rejects(client.dial(address, { signal: NEVER }), { code: 'PEER_UNREACHABLE' });
    }
  });

  await t.test('a link whose other side is silent, or never says goodbye, is closed', async (t) => {
    const server = medium.serveHttp();
    const webSockets = new WebSocketServer({ server, autoPong: false });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const servers: Socket[] = [];
    // Takes every byte from the kernel, but hands none to WebSocket: nothing will ever be answered.
    webSockets.on('connection', (ws, request) => {
      servers.push(request.socket);
      ws.pause();
    });
    const clock = new FakeClock();
    const client = createHttpPeerNetwork({ clock, log: silentLog() }, medium.network);
    t.teardown(async () => {
      await client.close();
      for (const socket of servers) socket.destroy();
      webSockets.close();
      server.close();
    });
    const address = { host: '127.0.0.1', port: (server.address() as { port: number }).port };
    const silent = listenTo(await within(client.dial(address, { signal: NEVER }), 'dial'));
    const since = clock.now();
    while (silent.closings === 0 && clock.advanceToNext(since + 20_000)) await turn();
    t.equal(await within(silent.closed, 'closed'), 'no sign of life');
    t.ok(clock.now() - since >= 5000 && clock.now() - since <= 6000, `after ${clock.now() - since} ms`);

    const rude = await within(client.dial(address, { signal: NEVER }), 'dial');
    const heard = listenTo(rude);
    rude.close('bye');
    clock.advanceToNext();
    t.equal(await within(heard.closed, 'closed'), 'bye');
  });
}
