import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { skopeo } from '../helpers/clients/containers-image.ts';
import { S3_CREDENTIALS, startS3, uploadFolder } from '../helpers/s3-server.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const NAME = 'images.test';
const PULL_MS = 60_000;
const skip = skipReason({ programs: ['docker-registry', 'skopeo'] });

Object.assign(process.env, S3_CREDENTIALS);

let stage: Stage;
/** The image of the stage as skopeo writes it. */
let layout: string;

t.before(async () => {
  if (skip !== false) return;
  stage = await createStage('origins', { image: { totalBytes: 24 * MIB, layers: 3 } });
  layout = join(stage.folder, 'layout');
  const source = `docker://${stage.registry.address}/${stage.repository}:${stage.image.tag}`;
  const { code, output } = await run('skopeo', [
    ...[
      'copy',
      '--quiet',
      '--preserve-digests',
      '--src-tls-verify=false',
      source,
      `oci:${layout}:${stage.image.tag}`,
    ],
  ]);
  if (code !== 0) throw new Error(output);
});
t.teardown(() => stage?.[Symbol.asyncDispose]());

/** How much the supernode read from where the images are, and how much the nodes did. */
async function readByEach({ daemons, supernodes }: Cluster): Promise<number[]> {
  const read = async (admin: string): Promise<number> => {
    const text = await (await fetch(`http://${admin}/metrics`)).text();
    return Number(/^damselfly_received_bytes_total\{source="origin"\} (\d+)/m.exec(text)?.[1] ?? 0);
  };
  return await Promise.all([...supernodes, ...daemons].map(({ ready }) => read(ready.admin)));
}

const blobBytes = (): number => stage.image.bytes - stage.image.manifest.size;

/** Two nodes and a supernode that know the images only there; both nodes and skopeo pull. */
async function pullFrom(t: Test, name: string, url: string): Promise<Cluster> {
  const { image, registry, repository } = stage;
  const cluster = await stage.startCluster({
    ...{ folder: await stage.makeFolder(name), nodes: 2, supernodes: 1 },
    ...{ upstreams: { [NAME]: url }, defaultUpstream: NAME },
    daemonFlags: ['--proxy-listen', `${NAME}=127.0.0.1:0`],
  });
  const before = await registry.counters();
  const outcomes = await pullTogether(
    cluster.daemons.map((daemon) => ({ base: proxyUrl(daemon), repository, tag: image.tag })),
    { signal: AbortSignal.timeout(PULL_MS), workers: 2 },
  );
  const result = { manifestDigest: image.manifest.digest, bytes: image.bytes };
  for (const outcome of outcomes) t.match(outcome, { kind: 'done', result });
  const [mirror] = cluster.daemons[0]!.ready.proxy;
  const folder = await stage.makeFolder(`${name}-skopeo`);
  const pull = {
    namespace: NAME,
    registry: mirror!.address,
    mirror: mirror!.address,
    repository,
    tag: image.tag,
  };
  t.equal((await skopeo.pull({ ...pull, folder })).manifestDigest, image.manifest.digest);
  t.equal(countersSince(before, await registry.counters()).requests, 0, 'no registry was asked');
  return cluster;
}

t.test('a cluster pulls an image that lies in a folder', { skip }, async (t) => {
  const cluster = await pullFrom(t, 'folder', `oci:${layout}`);
  t.same(
    await readByEach(cluster),
    [blobBytes(), 0, 0],
    'the supernode read each blob once, nobody else any',
  );
  const listener = cluster.daemons[1]!.ready.proxy.find(({ upstream }) => upstream === NAME);
  const target = join(stage.folder, 'from-listener');
  const source = `docker://${listener!.address}/any/name:${stage.image.tag}`;
  const copied = await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', source, `dir:${target}`]);
  t.equal(copied.code, 0, `a listener of that name is a registry for others: ${copied.output}`);
  const ready = await fetch(`http://${cluster.daemons[0]!.ready.admin}/readyz`);
  t.match(JSON.stringify(await ready.json()), /trust: node for images\.test/);
  await cluster.stop();
});

t.test('a cluster pulls an image that lies in a bucket', { skip }, async (t) => {
  const s3 = await startS3();
  t.teardown(() => s3.close());
  await uploadFolder(s3, layout);
  const cluster = await pullFrom(t, 'bucket', s3.url);
  // The small S3 server lives in this very process: on a machine that is busy, nodes read past a supernode that waits.
  const total = (await readByEach(cluster)).reduce((sum, bytes) => sum + bytes, 0);
  t.ok(total >= blobBytes(), `${total} bytes came from the bucket`);
  await cluster.stop();
});
