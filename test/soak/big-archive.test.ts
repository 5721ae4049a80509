import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import type { Cluster } from '../../bench/fixtures/cluster.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { ctrImport, dockerLoad, podmanLoad, skopeoInspect } from '../helpers/clients/load-archive.ts';
import { peakMemory } from '../helpers/peak-memory.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
const LAYERS = 12;
const MAX_RSS_MIB = 200;
const skip = skipReason({ programs: ['docker-registry', 'busybox'] });

let stage: Stage;
let cluster: Cluster;
let archive: string;

t.before(async () => {
  if (skip !== false) return;
  stage = await createStage('big-archive', {
    image: { totalBytes: 1024 * MIB, layers: LAYERS, busybox: '/bin/busybox' },
  });
  cluster = await stage.startCluster({ nodes: 1, supernodes: 1 });
  archive = join(stage.folder, 'image.tar');
});
t.teardown(() => stage?.[Symbol.asyncDispose]());

t.test('an image of 12 layers and 1 GiB, cold and warm, in 200 MiB of memory', { skip }, async (t) => {
  const socket = cluster.daemons[0]?.ready.socket ?? '';
  const name = `${NAMESPACE}/${stage.repository}:${stage.image.tag}`;
  for (const when of ['cold', 'warm']) {
    const words = ['pull', '--socket', socket, '-o', archive, name];
    const child = spawn(DFGET, words, { stdio: 'ignore' });
    const peakMib = await peakMemory(child);
    t.equal(child.exitCode, 0);
    t.comment(`${when}: ${peakMib.toFixed(0)} MiB at most`);
    t.ok(peakMib > 20 && peakMib <= MAX_RSS_MIB, `${when}: ${peakMib.toFixed(0)} MiB at most`);
  }
  const { stdout } = await run('tar', ['-tf', archive]);
  const blobs = stdout.split('\n').filter((line) => line.startsWith('blobs/sha256/'));
  t.ok(blobs.length >= LAYERS + 2, 'manifest, config and layers');
});

for (const loader of [dockerLoad, ctrImport, podmanLoad, skopeoInspect]) {
  t.test(`${loader.name} takes it, digests equal`, { skip: skip || skipReason(loader) }, async (t) => {
    const { image } = stage;
    const folder = await stage.makeFolder(loader.name.replaceAll(' ', '-'));
    const name = `${NAMESPACE}/${stage.repository}:${image.tag}`;
    const loaded = await loader.load({ archive, folder, image: name });
    t.equal(loaded.manifest ?? image.manifest.digest, image.manifest.digest);
    t.equal(loaded.config ?? image.config.digest, image.config.digest);
    t.equal(loaded.said ?? 'it runs', 'it runs');
    t.ok(loaded.manifest !== undefined || loaded.config !== undefined);
  });
}
