import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { PeerServerHandlers } from '../../lib/transfer/seams.ts';
import { NEVER, patternBytes, within } from '../contract/peer-network-parts.ts';

const FROM = 'd'.repeat(40);
const bytes = patternBytes(1000);
const blob = { digest: digestOf(bytes), size: bytes.length };

function network(t: Test) {
  const made = createHttpPeerNetwork({ clock: createSystemClock(), log: silentLog() });
  t.teardown(() => made.close());
  return made;
}

/** Asks a server that answers with these bytes. */
async function answered(t: Test, answers: readonly (string | undefined)[]): Promise<() => Promise<unknown>> {
  const sockets: Socket[] = [];
  let asked = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      const answer = answers[asked++];
      if (answer === undefined) socket.destroy();
      else socket.write(answer);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = { host: '127.0.0.1', port: (server.address() as { port: number }).port };
  const client = network(t);
  return () => within(client.fetchSmall({ address, from: FROM, blobs: [blob] }, { signal: NEVER }), 'answer');
}

const head = (length: number, held?: string, status = '200 OK'): string =>
  [
    `HTTP/1.1 ${status}`,
    `Content-Length: ${length}`,
    ...(held === undefined ? [] : [`Damselfly-Held: ${held}`]),
  ]
    .concat('', '')
    .join('\r\n');

t.test('an answer that does not fit the question is a broken protocol', async (t) => {
  for (const [what, answer] of [
    ['more bytes than asked for', `${head(1001, '1')}${'x'.repeat(1001)}`],
    ['endless bytes', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n${'x'.repeat(0x800)}`],
    ['fewer bytes', `${head(999, '1')}${'x'.repeat(999)}`],
    ['bytes of nothing', `${head(10, '0')}${'x'.repeat(10)}`],
    ['no word on what is held', `${head(1000)}${'x'.repeat(1000)}`],
    ['another status', head(0, undefined, '302 Found')],
  ] as const) {
    const ask = await answered(t, [answer]);
    await t.rejects(ask(), { code: 'PEER_PROTOCOL' }, what);
  }
  const busy = await answered(t, [head(0, undefined, '503 Busy')]);
  await t.rejects(busy(), { code: 'PEER_BUSY' });
  const nonsense = await answered(t, ['ICY 200 OK\r\n\r\n']);
  await t.rejects(nonsense(), { code: 'PEER_UNREACHABLE' });
});

t.test('a kept connection that the peer just closed is no failure', async (t) => {
  const good = `${head(0, '0')}`;
  const ask = await answered(t, [good, undefined, good]);
  await ask();
  t.same(await ask(), [undefined], 'asked again on a new one');
});

/** What the peer port says to such a request. */
async function told(
  t: Test,
  request: string | Buffer,
  smallBlobs?: PeerServerHandlers['smallBlobs'],
): Promise<string> {
  const listener = await network(t).listen(
    { host: '127.0.0.1', port: 0 },
    {
      piece: () => ({ kind: 'unknown' }),
      link: (link) => link.close('not expected'),
      ...(smallBlobs === undefined ? {} : { smallBlobs }),
    },
  );
  t.teardown(() => listener.close());
  const socket = connect(listener.address.port, '127.0.0.1');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  socket.write(request);
  const [chunk] = (await within(once(socket, 'data'), 'answer')) as [Buffer];
  return chunk.toString('latin1').split('\r\n')[0] ?? '';
}

const post = (body: string, headers: readonly string[] = [`Damselfly-Node: ${FROM}`]): string =>
  ['POST /v1/small-blobs HTTP/1.1', 'Host: x', `Content-Length: ${body.length}`, ...headers, '', body].join(
    '\r\n',
  );

t.test('a question that is none is refused before anything is read', async (t) => {
  const never = (): never => t.fail('asked') as never;
  const good = JSON.stringify({ blobs: [blob] });
  for (const [what, request] of [
    ['no JSON', post('hello')],
    ['no blobs', post('{}')],
    ['nobody asks', post(good, [])],
    ['a name that is none', post(good, ['Damselfly-Node: ../x'])],
    ['too long', post(`${' '.repeat(140_000)}${good}`)],
  ] as const) {
    t.match(await told(t, request, never), /^HTTP\/1.1 400/, what);
  }
  t.match(await told(t, post(good)), /^HTTP\/1.1 404/, 'nobody answers here');
});

t.test('answers to all askers together have a limit', async (t) => {
  const made = network(t);
  const gate = Promise.withResolvers<void>();
  const listener = await made.listen(
    { host: '127.0.0.1', port: 0 },
    {
      piece: () => ({ kind: 'unknown' }),
      link: (link) => link.close('not expected'),
      smallBlobs: ({ blobs }) => gate.promise.then(() => blobs.map(() => undefined)),
    },
  );
  t.teardown(() => listener.close());
  const blobs = Array.from({ length: 4 }, () => ({ ...blob, size: 256 * 1024 }));
  const ask = (): Promise<string> =>
    made.fetchSmall({ address: listener.address, from: FROM, blobs }, { signal: NEVER }).then(
      () => 'answered',
      (error: { code: string }) => error.code,
    );
  const first = Array.from({ length: 16 }, ask);
  // One mebibyte each; which of the seventeen comes last is not known.
  const asked = [...first, ask()];
  t.equal(await within(Promise.race(asked), 'refusal'), 'PEER_BUSY');
  gate.resolve();
  const all = await within(Promise.all(asked), 'answers');
  t.equal(all.filter((each) => each === 'answered').length, 16);
  t.equal(await within(ask(), 'answer'), 'answered', 'and there is room again');
});
