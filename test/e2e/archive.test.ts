import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import type { Cluster } from '../../bench/fixtures/cluster.ts';
import { createImage, type GeneratedImage } from '../../bench/fixtures/image.ts';
import { pushImage } from '../../bench/fixtures/push-image.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { skipReason } from '../helpers/clients/client.ts';
import {
  type ArchiveLoader,
  ctrImport,
  dockerLoad,
  podmanLoad,
  skopeoInspect,
} from '../helpers/clients/load-archive.ts';
import { peakMemory } from '../helpers/peak-memory.ts';
import { createStage, NAMESPACE, type Stage } from '../helpers/stage.ts';

const skip = skipReason({ programs: ['docker-registry', 'busybox'] });
const MIB = 1024 * 1024;
const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');
/** dfget itself takes about half of it; what it held of the image would come on top. */
const MAX_RSS_MIB = 200;
const LOADERS: readonly ArchiveLoader[] = [dockerLoad, ctrImport, podmanLoad, skopeoInspect];
const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';

let stage: Stage;
let cluster: Cluster;

t.before(async () => {
  if (skip !== false) return;
  stage = await createStage('archive', {
    image: { totalBytes: 24 * MIB, layers: 3, busybox: '/bin/busybox', compression: 'gzip' },
  });
  cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
});
t.teardown(() => stage?.[Symbol.asyncDispose]());

function socket(node = 0): string {
  return cluster.daemons[node]?.ready.socket ?? '';
}

const nameOf = (tag: string): string => `${NAMESPACE}/${stage.repository}:${tag}`;

/** `dfget pull` through a node's socket. @throws Error in its own words */
async function pull(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, output } = await run(DFGET, ['pull', '--socket', socket(), '--json', ...args]);
  if (code !== 0) throw new Error(`dfget pull ended with ${code}: ${output}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

async function pushed(tag: string, options: { totalBytes: number; layers: number }): Promise<GeneratedImage> {
  const folder = await stage.makeFolder(`image-${tag}`);
  const image = await createImage({ folder, tag, seed: tag, busybox: '/bin/busybox', ...options });
  await pushImage(image, { registry: stage.registry.url, repository: stage.repository });
  return image;
}

/** Puts an index of this machine's image and of one for another machine. @returns its digest */
async function pushIndex(tag: string, machine: GeneratedImage, other: GeneratedImage): Promise<string> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: INDEX_TYPE,
      manifests: [
        { ...other.manifest, platform: { os: 'linux', architecture: 'arm', variant: 'v7' } },
        { ...machine.manifest, platform: { os: 'linux', architecture } },
      ],
    }),
  );
  const url = `${stage.registry.url}/v2/${stage.repository}/manifests/${tag}`;
  const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': INDEX_TYPE }, body: index });
  if (!answer.ok) throw new Error(`index: ${answer.status} ${await answer.text()}`);
  return digestOf(index);
}

for (const loader of LOADERS) {
  t.test(`${loader.name} takes the archive of an image`, { skip: skip || skipReason(loader) }, async (t) => {
    const { image } = stage;
    const folder = await stage.makeFolder(loader.name.replaceAll(' ', '-'));
    const archive = join(stage.folder, `${loader.name.replaceAll(' ', '-')}.tar`);
    const done = await pull('-o', archive, nameOf(image.tag));
    t.match(done, { event: 'done', digest: image.manifest.digest, output: archive });
    const loaded = await loader.load({ archive, folder, image: nameOf(image.tag) });
    t.equal(loaded.manifest ?? image.manifest.digest, image.manifest.digest);
    t.equal(loaded.config ?? image.config.digest, image.config.digest);
    t.equal(loaded.said ?? 'it runs', 'it runs');
  });
}

for (const loader of LOADERS) {
  t.test(`${loader.name} takes the archive of an index`, { skip: skip || skipReason(loader) }, async (t) => {
    const name = loader.name.replaceAll(' ', '-');
    const other = await pushed(`other-${name}`, { totalBytes: MIB, layers: 1 });
    const index = await pushIndex(`many-${name}`, stage.image, other);
    const archive = join(stage.folder, `many-${name}.tar`);
    const done = await pull('-o', archive, '--all-platforms', nameOf(`many-${name}`));
    t.match(done, { digest: index });
    const folder = await stage.makeFolder(`many-${name}`);
    const loaded = await loader.load({ archive, folder, image: nameOf(`many-${name}`) });
    // podman and docker keep the image of their machine and not the index.
    t.ok(
      [index, stage.image.manifest.digest, undefined].includes(loaded.manifest),
      loaded.manifest ?? 'none',
    );
    t.equal(loaded.config ?? stage.image.config.digest, stage.image.config.digest);
    t.equal(loaded.said ?? 'it runs', 'it runs');
  });
}

t.test(
  'one platform is chosen of an index; one that is not there is told with those that are',
  { skip },
  async (t) => {
    const other = await pushed('other', { totalBytes: MIB, layers: 1 });
    await pushIndex('choose', stage.image, other);
    const archive = join(stage.folder, 'choose.tar');
    for (const [args, digest] of [
      [[], stage.image.manifest.digest],
      [['--platform', 'linux/arm/v7'], other.manifest.digest],
      [['--platform', 'linux/arm'], other.manifest.digest],
    ] as const) {
      const done = await pull('-o', archive, ...args, nameOf('choose'));
      t.equal(done['digest'], digest, args.join(' '));
      t.match(JSON.parse((await fileIn(archive, 'index.json')).toString()), { manifests: [{ digest }] });
    }
    const wrong = await run(DFGET, [
      'pull',
      '--socket',
      socket(),
      '-o',
      archive,
      '--platform',
      'plan9/mips',
      nameOf('choose'),
    ]);
    t.equal(wrong.code, 2);
    t.match(wrong.output, /linux\/arm\/v7, linux\/amd64|linux\/arm\/v7, linux\/arm64/);
  },
);

t.test('a reference by digest alone makes an archive as well', { skip }, async (t) => {
  const { image } = stage;
  const archive = join(stage.folder, 'by-digest.tar');
  const name = `${NAMESPACE}/${stage.repository}@${image.manifest.digest}`;
  t.match(await pull('-o', archive, name), { digest: image.manifest.digest });
  for (const loader of [ctrImport, skopeoInspect].filter((each) => skipReason(each) === false)) {
    const folder = await stage.makeFolder(`by-digest-${loader.name.replaceAll(' ', '-')}`);
    const loaded = await loader.load({ archive, folder, image: name });
    t.equal(loaded.manifest, image.manifest.digest, loader.name);
  }
});

async function fileIn(archive: string, name: string): Promise<Buffer> {
  const child = spawn('tar', ['-xOf', archive, name], { stdio: ['ignore', 'pipe', 'inherit'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child, 'close');
  return Buffer.concat(chunks);
}

t.test(
  'an image of many layers costs no memory, and the same archive comes out each time',
  { skip },
  async (t) => {
    const big = await pushed('big', { totalBytes: 384 * MIB, layers: 12 });
    const [first, second] = [join(stage.folder, 'big-1.tar'), join(stage.folder, 'big-2.tar')];
    const child = spawn(DFGET, ['pull', '--socket', socket(), '-o', first, nameOf('big')], {
      stdio: 'ignore',
    });
    const peakMib = await peakMemory(child);
    t.equal(child.exitCode, 0);
    t.ok(peakMib > 20 && peakMib <= MAX_RSS_MIB, `${peakMib.toFixed(0)} MiB at most`);
    const before = await stage.registry.counters();
    await pull('-o', second, nameOf('big'));
    t.equal(countersSince(before, await stage.registry.counters()).blobRequests, 0, 'from the cache');
    t.equal((await run('cmp', [first, second])).code, 0);
    t.ok(big.bytes > 384 * MIB - 100_000);
  },
);

t.test(
  'a pull that is interrupted leaves nothing, and what it got is not fetched again',
  { skip },
  async (t) => {
    const image = await pushed('cut', { totalBytes: 192 * MIB, layers: 2 });
    const folder = await stage.makeFolder('cut');
    const archive = join(folder, 'image.tar');
    await writeFile(archive, 'an older one');
    const before = await stage.registry.counters();
    const child = spawn(DFGET, ['pull', '--socket', socket(), '--json', '-o', archive, nameOf('cut')]);
    let told = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const seen = told.includes('"progress"');
      told += chunk.toString();
      if (!seen && told.includes('"progress"')) child.kill('SIGINT');
    });
    const [code] = (await once(child, 'close')) as [number];
    t.equal(code, 130, told);
    t.same(await readdir(folder), ['image.tar']);
    t.equal(await readFile(archive, 'utf8'), 'an older one', 'and what was there is untouched');
    await pull('-o', archive, nameOf('cut'));
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= image.bytes * 1.05, `${(bytes / image.bytes).toFixed(3)}x the image from the registry`);
  },
);

t.test('what cannot be pulled or written leaves no file, and says why', { skip }, async (t) => {
  const folder = await stage.makeFolder('refused');
  const archive = join(folder, 'image.tar');
  const nobody = `sha256:${'0'.repeat(64)}`;
  for (const [image, output, code, text] of [
    [`${NAMESPACE}/${stage.repository}@${nobody}`, archive, 1, /UPSTREAM_REFUSED.*404/],
    [nameOf('none'), archive, 1, /UPSTREAM_REFUSED.*404/],
    [nameOf('v1'), join(folder, 'none', 'image.tar'), 1, /FILE_FAILED: .*no such file/],
    [nameOf('v1'), folder, 1, /FILE_FAILED: .*director/],
    ['not an image', archive, 2, /REFERENCE_INVALID/],
  ] as const) {
    const ended = await run(DFGET, ['pull', '--socket', socket(), '-o', output, image]);
    t.equal(ended.code, code, image);
    t.match(ended.output, text);
  }
  t.same(await readdir(folder), []);
  t.notOk(existsSync(archive));
});
