import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { type Cluster, type DaemonReady, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { createDaemonClient } from '../../dfget/daemon-client.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';
import { blobUrl, followDaemon, openUrl, upgrade } from '../helpers/upgrading.ts';

const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '../../bin/dfget');
const skip = skipReason({ programs: ['docker-registry'] });
const LIMIT_MS = 60_000;

async function start(name: string, config?: string): Promise<{ stage: Stage; cluster: Cluster }> {
  const stage = await createStage(name, {
    registryRate: 24 * MIB,
    image: { totalBytes: 64 * MIB, layers: 1 },
  });
  const daemonFlags: string[] = [];
  if (config !== undefined) {
    const path = join(stage.folder, 'daemon.yaml');
    await writeFile(path, config);
    daemonFlags.push('--config', path);
  }
  return {
    stage,
    cluster: await stage.startCluster({
      ...{ nodes: 1, supernodes: 1, daemonFlags, logLevel: 'info' },
      // The successor is started by hand, without a token.
      secure: false,
    }),
  };
}

/** A client in the middle of the only layer; `finish` reads the rest and tells whether all of it was right. */
async function startReading(stage: Stage, cluster: Cluster): Promise<{ finish(): Promise<boolean> }> {
  const [layer] = stage.image.layers;
  const response = await openUrl(blobUrl(stage, cluster, layer?.digest ?? ''));
  const hash = createHash('sha256');
  const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let bytes = 0;
  while (bytes < MIB) {
    const { value } = (await chunks.next()) as { value: Buffer };
    hash.update(value);
    bytes += value.length;
  }
  return {
    async finish() {
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        hash.update(next.value);
      }
      return `sha256:${hash.digest('hex')}` === layer?.digest;
    },
  };
}

async function pidOf(cluster: Cluster): Promise<number> {
  const answer = await fetch(`http://${cluster.daemons[0]?.ready.admin ?? ''}/metrics`);
  const startS = /^process_start_time_seconds (\d+)/m.exec(await answer.text())?.[1];
  return Number(startS);
}

t.test('a new daemon that does not come up leaves the old one at work', { skip }, async (t) => {
  const { cluster, stage: made } = await start('upgrade-fails', 'upload-rate: 100MB/s\n');
  await using stage = made;
  const before = await stage.registry.counters();
  const started = await pidOf(cluster);
  const reading = await startReading(stage, cluster);
  const socket = cluster.daemons[0]?.ready.socket ?? '';
  const client = createDaemonClient(socket);

  const failing = client.upgrade([process.execPath, '-e', 'process.exit(3)'], AbortSignal.timeout(LIMIT_MS));
  await t.rejects(failing, { code: 'UPGRADE_FAILED', message: /exit code 3/ }, 'it ends before it asks');
  const missing = client.upgrade(['/nowhere/dfget'], AbortSignal.timeout(LIMIT_MS));
  await t.rejects(missing, { code: 'UPGRADE_FAILED', message: /ENOENT/ }, 'it cannot be started');
  await writeFile(join(stage.folder, 'daemon.yaml'), 'upload-rate: fast\n');
  const command = await run(DFGET, ['upgrade', '--socket', socket]);
  t.match(command, { code: 1, output: /UPGRADE_FAILED: .*exit code 2/ }, 'its settings are wrong');

  await t.test('nor does one that ends once it has everything', async (t) => {
    const { head, peer } = await converse(socket);
    peer.write(`${JSON.stringify({ type: 'take', pid: process.pid, version: '9' })}\n`);
    const answer = head.length > 0 ? head : ((await once(peer, 'data')) as [Buffer])[0];
    t.match(answer.toString(), /"released"/);
    const status = client.status(AbortSignal.timeout(LIMIT_MS));
    peer.destroy();
    t.match(await status, { upstreams: [NAMESPACE] }, 'commands are answered all the time');
  });

  t.ok(await reading.finish(), 'who was reading has got everything');
  t.equal(await pidOf(cluster), started, 'from the same process');
  await client.close();
  const { bytes } = countersSince(before, await stage.registry.counters());
  t.ok(
    bytes / stage.image.bytes <= 1.001,
    `the registry sent ${(bytes / stage.image.bytes).toFixed(4)}x the image`,
  );

  const last = followDaemon(stage, cluster, 0);
  await writeFile(join(stage.folder, 'daemon.yaml'), 'upload-rate: 50MB/s\n');
  last.pid = await upgrade(cluster, 0);
  const limits = await fetch(`http://${cluster.daemons[0]?.ready.admin ?? ''}/v1/limits`);
  t.match(await limits.json(), { uploadRate: 50_000_000 }, 'an upgrade reads the settings anew');
});

t.test('the old daemon killed in the middle of a handover', { skip }, async (t) => {
  const { cluster, stage: made } = await start('upgrade-killed');
  await using stage = made;
  const [daemon] = cluster.daemons;
  const [layer] = stage.image.layers;
  const last = followDaemon(stage, cluster, 0);
  const reading = await startReading(stage, cluster);
  const command = run(DFGET, ['upgrade', '--json', '--socket', daemon?.ready.socket ?? '']);
  const pid = await logged(
    daemon?.logFile ?? '',
    /"pid":(\d+),"version":"[^"]*","msg":"another daemon takes over"/,
  );
  process.kill(daemon?.pid ?? 0, 'SIGKILL');
  last.pid = Number(pid);
  await command;
  await t.rejects(reading.finish(), { code: 'ECONNRESET' }, 'its connections end with it');
  // The listening socket has never been closed: who asks again waits until the new daemon serves.
  const response = await openUrl(blobUrl(stage, cluster, layer?.digest ?? ''));
  const hash = createHash('sha256');
  for await (const chunk of response) hash.update(chunk as Buffer);
  t.equal(`sha256:${hash.digest('hex')}`, layer?.digest, 'the new one serves at the same address');
  const client = createDaemonClient(daemon?.ready.socket ?? '');
  t.match(
    await client.status(AbortSignal.timeout(LIMIT_MS)),
    { upstreams: [NAMESPACE] },
    'and at the same socket',
  );
  await client.close();
});

t.test('a daemon before this one that dies without a word leaves its work', { skip }, async (t) => {
  const { cluster, stage: made } = await start('upgrade-silent');
  await using stage = made;
  const path = join(stage.folder, 'old.sock');
  const old = createServer().on('upgrade', (_request, socket: Socket) => {
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: damselfly-handover/1\r\n\r\n',
    );
    socket.once('data', () => {
      socket.destroy();
      old.close();
    });
  });
  await once(old.listen(path), 'listening');
  const child = await startDaemon(stage, cluster, path, 'silent');
  t.match(child.ready, { process: 'daemon', socket: path });
});

t.test('with nobody behind the socket, --upgrade just starts', { skip }, async (t) => {
  const { cluster, stage: made } = await start('upgrade-alone');
  await using stage = made;
  const child = await startDaemon(stage, cluster, join(stage.folder, 'alone.sock'), 'alone');
  t.match(child.ready, { process: 'daemon' });
});

async function startDaemon(stage: Stage, cluster: Cluster, socket: string, name: string) {
  const child = await startChild<DaemonReady>({
    command: DFGET,
    args: [
      ...['daemon', '--json', '--insecure', '--upgrade', '--socket', socket],
      ...[
        '--data-dir',
        join(stage.folder, name),
        '--upstream',
        `${NAMESPACE}=${proxyUrl(cluster.daemons[0]!)}`,
      ],
      ...['--proxy-listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
    ],
    logFile: join(stage.folder, `${name}.log`),
    ready: jsonReady('daemon'),
  });
  stage.cleanup.defer(() => child.stop());
  return child;
}

/** Begins to talk to a daemon as the next one would. */
async function converse(socketPath: string): Promise<{ peer: Socket; head: Buffer }> {
  const asked = request({
    socketPath,
    path: '/v1/handover',
    headers: { connection: 'Upgrade', upgrade: 'damselfly-handover/1' },
  }).end();
  const [, peer, head] = (await once(asked, 'upgrade')) as [unknown, Socket, Buffer];
  return { peer, head };
}

/** Waits for a line of a log; gives its first group. */
async function logged(file: string, pattern: RegExp): Promise<string> {
  const untilMs = performance.now() + LIMIT_MS;
  while (performance.now() < untilMs) {
    const found = pattern.exec(await readFile(file, 'utf8'));
    if (found !== null) return found[1] ?? '';
  }
  throw new Error(`${file} never said ${String(pattern)}`);
}
