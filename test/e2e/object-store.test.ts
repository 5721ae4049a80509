import t from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { parseS3Address } from '../../lib/core/s3-address.ts';
import { openS3 } from '../../lib/objects/s3/s3-object-store.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { S3_CREDENTIALS, startS3 } from '../helpers/s3-server.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const DEADLINE_MS = 60_000;

Object.assign(process.env, S3_CREDENTIALS);

async function pull(stage: Stage, cluster: Cluster): Promise<unknown> {
  const [outcome] = await pullTogether(
    cluster.daemons.map((daemon) => ({
      base: proxyUrl(daemon),
      repository: stage.repository,
      tag: stage.image.tag,
    })),
    { signal: AbortSignal.timeout(DEADLINE_MS), workers: 2 },
  );
  return outcome;
}

const complete = ({ image }: Stage): object => ({
  kind: 'done',
  result: { manifestDigest: image.manifest.digest, bytes: image.bytes },
});

/** The number of one of the supernode's metrics. */
async function metric(cluster: Cluster, line: string): Promise<number> {
  const response = await fetch(`http://${cluster.supernodes[0]?.ready.admin ?? ''}/metrics`);
  const escaped = line.replace(/[{}"]/g, '\\$&');
  return Number(new RegExp(`^damselfly_${escaped} (\\d+)$`, 'm').exec(await response.text())?.[1] ?? 0);
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  while (!(await condition())) {
    if (deadline.aborted) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

t.test('a supernode with an empty disk serves an image from its bucket', { skip }, async (t) => {
  const s3 = await startS3();
  t.teardown(() => s3.close());
  await using stage = await createStage('object-store', { image: { totalBytes: 60 * MIB, layers: 3 } });
  const supernodeFlags = ['--blob-store', s3.url];
  /** Another cluster on the same bucket, whose machines have empty disks. */
  const start = async (name: string): Promise<Cluster> => {
    const folder = await stage.makeFolder(name);
    return stage.startCluster({ folder, nodes: 1, supernodes: 1, supernodeFlags });
  };
  const blobs = stage.image.layers.length + 1;
  const blobBytes = stage.image.bytes - stage.image.manifest.size;

  const first = await start('first');
  t.match(await pull(stage, first), complete(stage));
  const kept = (): Promise<number> => metric(first, 'object_store_total{kind="keep",outcome="ok"}');
  await until(async () => (await kept()) === blobs, 'all blobs are in the bucket');
  await first.stop();

  const second = await start('second');
  const before = await stage.registry.counters();
  t.match(await pull(stage, second), complete(stage));
  const { bytes } = countersSince(before, await stage.registry.counters());
  t.ok(bytes < 64 * 1024, `the registry sent ${bytes} bytes, no blob`);
  t.equal(await metric(second, 'received_bytes_total{source="object-store"}'), blobBytes);
  t.equal(await metric(second, 'received_bytes_total{source="origin"}'), 0);
  await second.stop();

  await t.test('what was damaged there is read from the registry, and kept anew', async (t) => {
    const store = await openS3(parseS3Address(s3.url)!);
    t.teardown(() => store.close());
    const { signal } = new AbortController();
    const { digest, size } = stage.image.layers[0]!;
    const hex = digest.slice('sha256:'.length);
    const key = `blobs/sha256/${hex.slice(0, 2)}/${hex}`;
    const bytes = Buffer.from((await store.get(key, { signal })) ?? []);
    t.equal(bytes.length, size);
    bytes[size - 5] = 255 - bytes[size - 5]!;
    await store.put(key, bytes, { signal });
    const third = await start('third');
    t.match(await pull(stage, third), complete(stage));
    t.ok(
      (await metric(third, 'received_bytes_total{source="origin"}')) > 0,
      'the rest came from the registry',
    );
    const sent = 'object_store_total{kind="keep",outcome="ok"}';
    await until(async () => (await metric(third, sent)) > 0, 'kept anew');
    const anew = (await store.get(key, { signal })) ?? new Uint8Array();
    t.equal(digestOf(anew), digest);
    await third.stop();
  });

  await t.test('without the bucket the registry is read', async (t) => {
    await s3.close();
    const fourth = await start('fourth');
    t.match(await pull(stage, fourth), complete(stage));
    t.equal(await metric(fourth, 'received_bytes_total{source="origin"}'), blobBytes);
    const ready = await fetch(`http://${fourth.supernodes[0]?.ready.admin ?? ''}/readyz`);
    t.match(await ready.json(), { status: 'ready', notes: /object store/ });
    await fourth.stop();
  });
});
