import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { parseS3Address } from '../../lib/core/s3-address.ts';
import { openS3 } from '../../lib/objects/s3/s3-object-store.ts';
import { bucketScene, serveFromBucket, supernodeMetric, until } from '../helpers/bucket-scene.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { S3_CREDENTIALS, startS3 } from '../helpers/s3-server.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });

Object.assign(process.env, S3_CREDENTIALS);

t.test('a supernode with an empty disk serves an image from its bucket', { skip }, async (t) => {
  const s3 = await startS3();
  t.teardown(() => s3.close());
  await using stage = await createStage('object-store', { image: { totalBytes: 60 * MIB, layers: 3 } });
  const scene = bucketScene(stage, s3.url);
  const { blobBytes, pull, start, whole } = scene;
  await serveFromBucket(t, stage, scene);

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
    t.match(await pull(third), whole);
    t.ok(
      (await supernodeMetric(third, 'received_bytes_total{source="origin"}')) > 0,
      'the rest came from the registry',
    );
    const sent = 'object_store_total{kind="keep",outcome="ok"}';
    await until(async () => (await supernodeMetric(third, sent)) > 0, 'kept anew');
    const anew = (await store.get(key, { signal })) ?? new Uint8Array();
    t.equal(digestOf(anew), digest);
    await third.stop();
  });

  await t.test('without the bucket the registry is read', async (t) => {
    await s3.close();
    const fourth = await start('fourth');
    t.match(await pull(fourth), whole);
    t.equal(await supernodeMetric(fourth, 'received_bytes_total{source="origin"}'), blobBytes);
    const ready = await fetch(`http://${fourth.supernodes[0]?.ready.admin ?? ''}/readyz`);
    t.match(await ready.json(), { status: 'ready', notes: /object store/ });
    await fourth.stop();
  });
});
