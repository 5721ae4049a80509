import { mkdtemp, readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** A daemon that notes what it loads. */
async function startDaemon(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'damselfly-start-'));
  const modules = join(folder, 'modules');
  const hook = join(import.meta.dirname, 'fixtures', 'record-modules.ts');
  const child = await startChild<DaemonReady>({
    command: process.execPath,
    args: [
      ...['--import', hook, join(ROOT, 'dfget', 'main.ts'), 'daemon', '--json', '--insecure'],
      ...['--upstream', 'registry.test=http://127.0.0.1:1', '--proxy-listen', '127.0.0.1:0'],
      ...['--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
      ...['--socket', join(folder, 'socket'), '--data-dir', join(folder, 'data')],
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
