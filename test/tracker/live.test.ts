import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import type { LiveMessage } from '../../tracker/live/live-messages.ts';
import { createLiveRoutes } from '../../tracker/live/live-routes.ts';
import { WatchCluster } from '../../tracker/live/watch-cluster.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { anyPort, layer, peerNamed, start, systemClock } from './control-rig.ts';

const NO_BYTES = {
  ...{ origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0 },
  ...{ toPeers: 0, toClients: 0 },
};
const REPORT = { type: 'report', bytes: NO_BYTES, blobs: [], gone: [], from: [], bans: [] } as const;
const TOKEN = 'long-enough-to-be-one';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly response: IncomingMessage;
}

async function get(port: number, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const asked = request({ host: '127.0.0.1', port, path, headers, agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return { status: response.statusCode ?? 0, headers: response.headers, response };
}

/** The messages of a page's stream. */
async function* messages(t: Test, port: number): AsyncGenerator<LiveMessage> {
  const { response, status } = await get(port, '/live/events');
  t.equal(status, 200);
  t.teardown(() => response.destroy());
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString();
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, json] = /^data: (.*)$/m.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (json !== undefined) yield JSON.parse(json) as LiveMessage;
    }
  }
}

async function until(
  stream: AsyncGenerator<LiveMessage>,
  fits: (message: LiveMessage) => boolean,
): Promise<LiveMessage> {
  for (;;) {
    const next = await stream.next();
    if (next.done === true) throw new Error('the stream has ended');
    if (fits(next.value)) return next.value;
  }
}

t.test('members report while somebody watches, and the page hears of it', async (t) => {
  const { tracker, join } = await start(t);
  const { port } = tracker.httpAddress;
  const node = await join(peerNamed('node'));
  t.ok(node.quiet, 'nobody watches');
  const page = messages(t, port);
  const first = await until(page, ({ full }) => full === true);
  t.match(first.totals, { members: 1, supernodes: 0, reporting: 0 });
  t.match(first.members, [{ id: peerNamed('node').id, role: 'node', version: '' }]);
  t.match(await node.next('watch'), { everyMs: 1000, fresh: true });
  const blob = { handle: 0, digest: layer(1), size: 100, pieces: 4, held: 1, readers: 1 };
  const bytes = { ...NO_BYTES, peer: 25 };
  node.send({ ...REPORT, fresh: true, version: '9.9.9', bytes, blobs: [blob] });
  const told = await until(page, ({ totals }) => totals.reporting === 1);
  t.equal(told.full, undefined, 'only what has changed');
  t.match(told.members, [{ version: '9.9.9', peer: 25 }]);
  t.match(told.swarms, [{ digest: layer(1), size: 100, percent: 25, reading: 1 }]);

  const late = await join(peerNamed('late', 'supernode'));
  t.match(await late.next('watch'), { fresh: true }, 'who comes while somebody watches is asked too');
  await until(page, ({ totals }) => totals.supernodes === 1);
  late.socket.terminate();
  t.equal((await until(page, ({ gone }) => gone.length > 0)).gone.length, 1);
});

t.test('the page hears of preheat plans and jobs, and again when they have changed', async (t) => {
  const { tracker } = await start(t);
  const { port } = tracker.httpAddress;
  const ask = async (path: string, body: object): Promise<void> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    t.equal(answer.status, 201, await answer.text());
  };
  await ask('preheat-plans', { name: 'shop', images: ['a.test/web:1'], stages: [{ nodes: 'all' }] });
  const page = messages(t, port);
  const first = await until(page, ({ full }) => full === true);
  t.match(first.preheats, [{ id: 1, what: 'plan', name: 'shop', state: 'stopped', why: /no machine/ }]);
  await until(page, ({ preheats }) => preheats === undefined);
  await ask('preheats', { image: 'a.test/api:1', nodes: '10%' });
  const { preheats } = await until(page, (message) => message.preheats !== undefined);
  t.match(preheats, [{ id: 2, what: 'job', name: 'a.test/api:1', to: '10%', state: 'running' }, { id: 1 }]);
});

t.test('members are asked again while a page is open, and not when it is closed', async (t) => {
  const clock = new FakeClock();
  const pass = (ms: number): void => {
    const until = clock.now() + ms;
    while (clock.advanceToNext(until));
  };
  const asked: { id: string; fresh: boolean }[] = [];
  const cluster = new WatchCluster({
    clock,
    wallClockMs: () => clock.now(),
    members: {
      all: () => [peerNamed('a'), peerNamed('b')],
      sendTo: (id, text) => void asked.push({ id, fresh: text.includes('fresh') }),
      counts: { members: 2, supernodes: 0, swarms: 0 },
    },
  });
  const shown: LiveMessage[] = [];
  const stop = cluster.watch({ show: (json) => void shown.push(JSON.parse(json) as LiveMessage) });
  pass(10_000);
  t.same(
    asked.splice(0),
    ['a', 'b'].map((name) => ({ id: peerNamed(name).id, fresh: true })),
  );
  t.equal(shown.length, 11, 'a refresh a second');
  t.same([shown[0]?.full, shown[1]?.full], [true, undefined]);
  pass(50_000);
  t.ok(asked.length >= 4, 'again and again');
  t.ok(
    asked.every(({ fresh }) => !fresh),
    'and they go on where they were',
  );
  const second = cluster.watch({ show() {} });
  stop();
  pass(60_000);
  t.ok(asked.length >= 8, 'for as long as one page is open');
  second();
  asked.length = 0;
  pass(100_000);
  cluster.joined(peerNamed('c'));
  pass(1000);
  t.same(asked, [], 'nobody watches');
  t.equal(clock.pending, 0);
});

t.test('the more members, the less often each reports', async (t) => {
  const clock = new FakeClock();
  const texts: string[] = [];
  const cluster = new WatchCluster({
    clock,
    wallClockMs: () => 0,
    members: {
      all: () => [peerNamed('a')],
      sendTo: (_id, text) => void texts.push(text),
      counts: { members: 5000, supernodes: 3, swarms: 0 },
    },
  });
  const stop = cluster.watch({ show() {} });
  t.match(JSON.parse(texts[0] ?? ''), { everyMs: 2500 });
  stop();
});

t.test('who may see the page', async (t) => {
  const tracker = await createTracker(
    { log: silentLog(), clock: systemClock, rng: createRng(1) },
    ...[
      {
        listen: anyPort,
        httpListen: anyPort,
        processMetrics: false,
        liveToken: TOKEN,
      } as const,
    ],
  );
  t.teardown(() => tracker.close());
  const { port } = tracker.httpAddress;
  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
    const answer = await get(port, path, headers);
    answer.response.destroy();
    return answer.status;
  };
  for (const path of ['/live', '/live/app.js', '/live/style.css', '/live/events']) {
    t.equal(await status(path), 200, `${path} from this machine`);
    t.equal(await status(path, { host: `localhost:${port}` }), 200);
    t.equal(await status(path, { host: `evil.example:${port}` }), 403, 'a name that leads here by a trick');
    t.equal(await status(path, { 'x-forwarded-for': '192.0.2.1' }), 403, 'through a proxy on this machine');
    t.equal(await status(path, { 'x-forwarded-for': '192.0.2.1', authorization: `Bearer ${TOKEN}` }), 200);
    t.equal(
      await status(path, { host: 'tracker.corp', cookie: `damselfly-live=${encodeURIComponent(TOKEN)}` }),
      200,
    );
    t.equal(await status(path, { authorization: 'Bearer wrong' }), 403, 'a wrong token is no better here');
    t.equal(await status(path, { host: 'tracker.corp', cookie: 'damselfly-live=%' }), 403);
  }
  const entered = await get(port, `/live?token=${encodeURIComponent(TOKEN)}`, { host: 'tracker.corp' });
  t.equal(entered.status, 303);
  t.equal(entered.headers.location, '/live', 'the token leaves the address');
  t.match(entered.headers['set-cookie']?.[0], /^damselfly-live=.*; Path=\/live; HttpOnly; SameSite=Strict$/);
  t.equal(await status('/live?token=wrong', { host: 'tracker.corp' }), 403);
  t.equal(await status('/live/state.ts'), 200);
  t.equal(await status('/live/cluster-view.js'), 404, 'only what belongs to the page');
  t.equal(await status('/live/../tracker.ts'), 404);
  const head = await fetch(`http://127.0.0.1:${port}/live/events`, { method: 'HEAD' });
  t.equal(head.status, 405, 'a stream is for GET alone');
  const page = await get(port, '/live');
  t.match(page.headers['content-security-policy'], "default-src 'none'");
  t.equal(page.headers['x-content-type-options'], 'nosniff');
});

t.test('so many pages and no more; a tracker that stops ends their streams', async (t) => {
  const { tracker } = await start(t);
  const { port } = tracker.httpAddress;
  const pages = await Promise.all(Array.from({ length: 32 }, () => get(port, '/live/events')));
  t.same(new Set(pages.map(({ status }) => status)), new Set([200]));
  t.equal((await get(port, '/live/events')).status, 503);
  pages[0]?.response.destroy();
  const ends = pages.slice(1).map(({ response }) => once(response.resume(), 'close'));
  await tracker.close();
  await Promise.all(ends);
  t.pass('all have ended');
});

t.test('a page that does not read is cut off, however much there was to show at first', async (t) => {
  const mib = (count: number): string => 'x'.repeat(count * 2 ** 20);
  const show: ((json: string) => void)[] = [];
  const cluster: Pick<WatchCluster, 'watch' | 'close'> = {
    watch: (viewer) => {
      show.push((json) => viewer.show(json));
      return () => {};
    },
    close: () => {},
  };
  const routes = createLiveRoutes({ clock: new FakeClock(), log: silentLog(), cluster });
  t.teardown(() => routes.close());
  const responses: ServerResponse[] = [];
  const server = createServer((asked, response) => {
    responses.push(response);
    routes.answers(asked, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { response } = await get((server.address() as AddressInfo).port, '/live/events');
  t.teardown(() => response.destroy());
  for (const json of [mib(32), '{}']) show[0]?.(json);
  t.equal(responses[0]?.destroyed, false, 'the first picture is as large as the cluster');
  for (const json of [mib(24), '{}']) show[0]?.(json);
  t.equal(responses[0]?.destroyed, true);
});
