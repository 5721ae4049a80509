import t, { type Test } from 'tap';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { parseS3Address } from '../../lib/core/s3-address.ts';
import { openS3 } from '../../lib/objects/s3/s3-object-store.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createOriginClient } from '../../lib/origin/http/http-origin-client.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { contractImage, imageOriginContract } from '../contract/image-origin.ts';
import { objectStoreContract } from '../contract/object-store.ts';
import { bucketScene, serveFromBucket } from '../helpers/bucket-scene.ts';
import { CEPH_CREDENTIALS, CEPH_PROGRAMS, startCeph } from '../helpers/ceph.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { type S3Server, uploadFolder } from '../helpers/s3-server.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry', ...CEPH_PROGRAMS] });

t.setTimeout(600_000);

t.test("Ceph's RADOS gateway", { skip }, async (t) => {
  Object.assign(process.env, CEPH_CREDENTIALS);
  const ceph: S3Server = await startCeph();
  t.teardown(() => ceph.close());

  await t.test('is an object store', async (t) => {
    objectStoreContract(t, async (t: Test) => {
      const store = await openS3(parseS3Address(ceph.url)!);
      t.teardown(() => store.close());
      return store;
    });
  });

  await t.test('is a place of images', async (t) => {
    const folder = await tempFolder('ceph-images');
    t.teardown(() => folder[Symbol.asyncDispose]());
    const image = await contractImage(folder.path);
    await uploadFolder(ceph, folder.path);
    imageOriginContract(t, async (t) => {
      const upstreams = [{ name: 'images', url: ceph.url }];
      const client = createOriginClient({ log: silentLog(), clock: createSystemClock(), upstreams });
      t.teardown(() => client.close());
      return { client, upstream: 'images', repository: 'team/app', image };
    });
  });

  await t.test('a supernode with an empty disk serves 1 GiB from it', { timeout: 400_000 }, async (t) => {
    await using stage = await createStage('ceph', { image: { totalBytes: 1024 * MIB, layers: 4 } });
    await serveFromBucket(t, stage, bucketScene(stage, ceph.url));
  });
});
