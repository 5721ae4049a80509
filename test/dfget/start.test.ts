import { mkdtemp, readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { createTracker } from '../../tracker/tracker.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** A daemon that notes what it loads. */
async function startDaemon(t: Test, flags: readonly string[] = []) {
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-start-'));
  const modules = join(folder, 'modules');
  const hook = join(import.meta.dirname, 'fixtures', 'record-modules.ts');
  const child = await startChild<DaemonReady>({
    command: process.execPath,
    args: [
      ...['--import', hook, join(ROOT, 'dfget', 'main.js'), 'daemon', '--json', '--insecure'],
      ...['--upstream', 'registry.test=http://127.0.0.1:1', '--proxy-listen', '127.0.0.1:0'],
      ...['--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
      ...['--socket', join(folder, 'socket'), '--data-dir', join(folder, 'data')],
      ...flags,
    ],
    logFile: join(folder, 'log'),
    ready: jsonReady('daemon'),
    env: { MODULES: modules },
  });
  t.teardown(() => child.stop());
  /** Packages loaded so far; of undici, whose parts are loaded one by one, also its modules. */
  const loaded = async (): Promise<Set<string>> => {
    const text = await readFile(modules, 'utf8');
    const inPackages = [...text.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)(\/[^\n]*)/g)];
    return new Set(inPackages.flatMap(([, name = '', path = '']) => [name, `${name}${path}`]));
  };
  return { loaded, ready: child.ready };
}

async function get(options: object): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(options, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    });
    asked.once('error', reject).end();
  });
}

t.test('a daemon that starts loads what it needs to serve a pull, and nothing heavy besides', async (t) => {
  const { loaded, ready } = await startDaemon(t);
  const first = await loaded();
  t.ok(first.has('ws') && first.has('undici'), 'loading was recorded');
  const later = ['fastify', 'yaml', 'cli-progress', 'tar-stream', 'webtorrent', 'libp2p', 'fast-check'];
  t.same(
    [...later, 'bittorrent-tracker', 'undici/index.js'].filter((name) => first.has(name)),
    [],
    'what not every pull needs comes on first use',
  );
  const [host, port] = ready.admin.split(':');
  t.equal(await get({ host, port, path: '/healthz' }), 200);
  t.ok((await loaded()).has('fastify'), 'the framework of the admin page came with its first request');
  t.equal(await get({ socketPath: ready.socket, path: '/v1/status' }), 200);
});

t.test('the DHT is loaded by a daemon that needs it, or when a peer does, and not before', async (t) => {
  const anyPort = { host: '127.0.0.1', port: 0 };
  const tracker = await createTracker(
    { log: silentLog(), clock: createSystemClock(), rng: createSystemRng() },
    { listen: anyPort, httpListen: anyPort, udpListen: false, processMetrics: false },
  );
  t.teardown(() => tracker.close());
  const url = `ws://127.0.0.1:${tracker.controlAddress.port}`;
  const dhtListen = ['--dht-listen', '127.0.0.1:0'];
  const { loaded, ready } = await startDaemon(t, ['--tracker', url, ...dhtListen]);
  const [adminHost, adminPort] = ready.admin.split(':');
  const admin = { host: adminHost, port: adminPort, path: '/readyz' };
  while ((await get(admin)) !== 200) await new Promise((resolve) => setTimeout(resolve, 20));
  const before = await loaded();
  t.same(
    [...before].filter((name) => name.includes('libp2p') || name.startsWith('multiformats')),
    [],
  );
  const [host, port] = ready.peer.split(':');
  t.equal(await get({ host, port, path: '/v1/dht' }), 200, 'a peer asks for the way into the DHT');
  t.ok((await loaded()).has('libp2p'));
  const alone = await startDaemon(t, ['--discovery', 'tracker']);
  const peer = alone.ready.peer.split(':');
  t.equal(await get({ host: peer[0], port: peer[1], path: '/v1/dht' }), 404, 'never in one');
  t.notOk((await alone.loaded()).has('libp2p'));
});
