import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { type CommandResult, jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import type { DaemonReady } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import type { CacheListing } from '../../dfget/local-protocol.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const skip = skipReason({ programs: ['docker-registry', 'busybox'] });
const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const smallImage = { totalBytes: 12 * MIB, layers: 3, busybox: '/bin/busybox', compression: 'gzip' } as const;

const nameOf = (stage: Stage): string => `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;

/** dfget's commands on one daemon. */
function commands(socket: string) {
  const dfget = (command: readonly string[], ...args: string[]): Promise<CommandResult> =>
    run(DFGET, [...command, '--socket', socket, ...args]);
  const ok = async (command: readonly string[], ...args: string[]): Promise<string> => {
    const { code, output, stdout } = await dfget(command, ...args);
    if (code !== 0) throw new Error(`dfget ${command.join(' ')} ended with ${code}: ${output}`);
    return stdout;
  };
  const list = async (): Promise<CacheListing> =>
    JSON.parse(await ok(['cache', 'ls'], '--json')) as CacheListing;
  return { dfget, ok, list };
}

t.test('blobs are listed, pinned, collected and removed by digest and by image', { skip }, async (t) => {
  await using stage = await createStage('cache', { image: smallImage });
  // A collection leaves nothing that it may remove.
  const daemonFlags = ['--store-max', '20MiB', '--store-high', '0.02', '--store-low', '0.001'];
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 0, daemonFlags });
  const { dfget, list, ok } = commands(cluster.daemons[0]?.ready.socket ?? '');
  const { image, registry } = stage;
  const blobs = [image.config, ...image.layers].map(({ digest }) => digest).sort();

  await ok(['pull'], nameOf(stage));
  t.same((await list()).blobs.map(({ digest }) => digest).sort(), blobs);
  t.ok((await list()).blobs.every(({ complete, held, size }) => complete && held === size));
  for (const digest of blobs) t.match(await ok(['cache', 'ls']), digest);

  const before = await registry.counters();
  const [kept = ''] = image.layers.map(({ digest }) => digest);
  t.match(await ok(['cache', 'pin'], kept.slice(0, 20)), `${kept}  pinned`);
  const freed = JSON.parse(await ok(['cache', 'gc'], '--json')) as { removed: string[]; freedBytes: number };
  t.same(
    freed.removed.sort(),
    blobs.filter((digest) => digest !== kept),
  );
  t.ok(freed.freedBytes > 7 * MIB);
  t.same(
    (await list()).blobs.map(({ digest, pinned }) => [digest, pinned]),
    [[kept, true]],
  );
  const more = countersSince(before, await registry.counters());
  t.equal(more.blobRequests, 0);

  t.match((await dfget(['cache', 'unpin'], nameOf(stage))).output, /is not here/);
  t.match(await ok(['cache', 'gc']), '1 blobs removed');
  t.same((await list()).blobs, []);

  await ok(['pull'], nameOf(stage));
  const one = await dfget(['cache', 'rm'], kept);
  t.same([one.code, one.stdout], [0, `${kept}  removed\n`]);
  t.equal((await list()).blobs.length, blobs.length - 1);
  t.equal((await dfget(['cache', 'rm'], kept)).code, 1, 'it is gone already');
  t.match((await dfget(['cache', 'rm'], 'sha256:abcdef')).output, /BLOB_UNKNOWN.*no blob begins so/);
  await ok(['cache', 'rm'], nameOf(stage));
  t.same((await list()).blobs, []);
});

t.test('what is exported is what is pulled; nothing is fetched for it', { skip }, async (t) => {
  await using stage = await createStage('export', { image: smallImage });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 0 });
  const { dfget, ok } = commands(cluster.daemons[0]?.ready.socket ?? '');
  const [pulled, exported] = [join(stage.folder, 'pulled.tar'), join(stage.folder, 'exported.tar')];
  const early = await dfget(['cache', 'export'], '-o', exported, nameOf(stage));
  t.equal(early.code, 1);
  t.match(early.output, /BLOB_UNKNOWN: 5 of 5 blobs .* not in the store: .*dfget pull/);
  await ok(['pull'], '-o', pulled, nameOf(stage));
  const before = await stage.registry.counters();
  await ok(['cache', 'export'], '-o', exported, nameOf(stage));
  t.equal(countersSince(before, await stage.registry.counters()).blobRequests, 0);
  t.equal((await run('cmp', [pulled, exported])).code, 0);
});

t.test(
  'an archive seeds a swarm where no registry is; containerd pulls there',
  { skip: skip || skipReason(containerd) },
  async (t) => {
    await using stage = await createStage('offline', { image: smallImage });
    const archive = join(stage.folder, 'image.tar');
    {
      const outside = await stage.startCluster({ nodes: 1, supernodes: 0 });
      await commands(outside.daemons[0]?.ready.socket ?? '').ok(['pull'], '-o', archive, nameOf(stage));
      await outside.stop();
    }
    await stage.registry.stop();

    const folder = await stage.makeFolder('inside');
    const daemonFlags = ['--offline-registry', NAMESPACE];
    const inside = await stage.startCluster({
      ...{ folder, nodes: 1, supernodes: 0, upstreams: {}, daemonFlags },
      defaultUpstream: NAMESPACE,
      // A second node joins by hand, without a token.
      secure: false,
    });
    const [seed] = inside.daemons;
    if (seed === undefined) throw new Error('no daemon');
    const { dfget, list, ok } = commands(seed.ready.socket);
    t.match(await ok(['cache', 'import'], archive), `${nameOf(stage)}@${stage.image.manifest.digest}`);
    t.match((await list()).images, [{ image: nameOf(stage), digest: stage.image.manifest.digest }]);
    t.ok((await list()).blobs.every(({ complete, pinned }) => complete && pinned));
    const [layer] = stage.image.layers;
    t.match((await dfget(['cache', 'rm'], layer?.digest ?? '')).output, /belongs to an imported image/);

    // It still is, after a restart; and out comes what came in.
    await seed.stop();
    await inside.restartDaemon(0);
    const again = commands(inside.daemons[0]?.ready.socket ?? '');
    const copy = join(folder, 'copy.tar');
    await again.ok(['cache', 'export'], '-o', copy, nameOf(stage));
    t.equal((await run('cmp', [archive, copy])).code, 0);

    const second = await startChild<DaemonReady>({
      command: DFGET,
      args: [
        ...['daemon', '--json', '--insecure', '--log-level', 'warn', '--data-dir', join(folder, 'second')],
        ...['--tracker', `ws://${inside.tracker.ready.listen}`],
        ...['--upstream', `${NAMESPACE}=http://${inside.daemons[0]?.ready.proxy[0]?.address ?? ''}`],
        ...['--proxy-listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
        ...['--socket', join(folder, 'second.sock')],
      ],
      logFile: join(folder, 'second.log'),
      ready: jsonReady('daemon'),
    });
    stage.cleanup.defer(() => second.stop());
    const pulled = await containerd.pull({
      ...{ folder: await stage.makeFolder('containerd'), namespace: NAMESPACE, repository: stage.repository },
      ...{
        registry: stage.registry.address,
        mirror: second.ready.proxy[0]?.address ?? '',
        tag: stage.image.tag,
      },
    });
    t.equal(pulled.manifestDigest, stage.image.manifest.digest);
    const metrics = await (await fetch(`http://${second.ready.admin}/metrics`)).text();
    const fromPeers = Number(/received_bytes_total\{source="peer"\} (\d+)/.exec(metrics)?.[1] ?? 0);
    t.ok(fromPeers > stage.image.bytes * 0.9, `${fromPeers} of ${stage.image.bytes} bytes from the swarm`);

    await again.ok(['cache', 'rm'], nameOf(stage));
    t.same(await again.list(), { blobs: [], images: [] });
    t.equal((await again.dfget(['cache', 'export'], '-o', copy, nameOf(stage))).code, 1);
  },
);

t.test('what is no archive, or not what it says, is not imported', { skip }, async (t) => {
  await using stage = await createStage('import', { image: smallImage });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 0 });
  const { dfget, list, ok } = commands(cluster.daemons[0]?.ready.socket ?? '');
  const archive = join(stage.folder, 'image.tar');
  await ok(['pull'], '-o', archive, nameOf(stage));
  await ok(['cache', 'rm'], nameOf(stage));
  const bytes = await readFile(archive);
  const at = (name: string): string => join(stage.folder, name);
  const wrong = Buffer.from(bytes);
  wrong[8 * MIB] = (wrong[8 * MIB] ?? 0) ^ 1;
  await writeFile(at('wrong.tar'), wrong);
  await writeFile(at('cut.tar'), bytes.subarray(0, 9 * MIB));
  await writeFile(at('none.tar'), 'this is a text and not an archive\n'.repeat(100));
  await mkdir(at('empty'));
  await run('tar', ['-cf', at('empty.tar'), '-C', at('empty'), '.']);
  for (const [file, code, text] of [
    ['wrong.tar', 1, /DIGEST_MISMATCH/],
    ['cut.tar', 1, /FILE_FAILED/],
    ['none.tar', 1, /FILE_FAILED/],
    ['empty.tar', 1, /FILE_FAILED: .*no OCI archive/],
    ['missing.tar', 1, /FILE_FAILED: .*no such file/],
  ] as const) {
    const ended = await dfget(['cache', 'import'], at(file));
    t.equal(ended.code, code, file);
    t.match(ended.output, text, file);
    t.same((await list()).images, [], file);
  }
  t.equal((await dfget(['cache', 'import'], '--name', 'NOT A NAME', archive)).code, 2);

  await writeFile(at('zipped.tar.gz'), gzipSync(bytes, { level: 1 }));
  const name = `${NAMESPACE}/other/name:v2`;
  t.match(
    await ok(['cache', 'import'], '--name', name, at('zipped.tar.gz')),
    `${name}@${stage.image.manifest.digest}`,
  );
  t.ok((await list()).blobs.every(({ complete }) => complete));
  t.ok((await readdir(at(''))).length > 0);
});
