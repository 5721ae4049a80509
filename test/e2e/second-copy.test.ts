import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { containerdBlobs } from '../../lib/store/borrowed-blobs.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';

const DEADLINE_MS = 60_000;
const skip = skipReason({ programs: [...containerd.programs, 'docker-registry', 'busybox'] });

t.test('what containerd keeps is seeded from there, and kept nowhere else', { skip }, async (t) => {
  await using stage = await createStage('second-copy', {
    image: { busybox: '/bin/busybox', compression: 'gzip' },
  });
  const { image, registry, repository } = stage;
  const folder = await stage.makeFolder('containerd');
  const root = join(folder, 'root');
  // The second node, started later, has none of these.
  const daemonFlags = ['--containerd-root', root, '--cache-after-pull', 'drop'];
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 0, secure: false, daemonFlags });
  const [first] = cluster.daemons;
  if (first === undefined) throw new Error('no daemon');
  const mirror = first.ready.proxy[0]?.address ?? '';
  const names = { namespace: NAMESPACE, registry: registry.address, repository, tag: image.tag };
  await containerd.pull({ ...names, folder, mirror });

  const deadline = AbortSignal.timeout(DEADLINE_MS);
  while ((await files(join(stage.folder, 'node0', 'blobs'))).length > 0) {
    await wait(200, null, { signal: deadline });
  }
  const theirs = await Promise.all((await files(containerdBlobs(root))).map(stamp));

  daemonFlags.length = 0;
  await cluster.restartDaemon(1);
  const [, second] = cluster.daemons;
  if (second === undefined) throw new Error('no second daemon');
  const before = await registry.counters();
  for (const { digest } of image.layers) {
    const answer = await fetch(`${proxyUrl(second)}/v2/${repository}/blobs/${digest}?ns=${NAMESPACE}`);
    t.equal(digestOf(await answer.bytes()), digest);
  }
  const { bytes } = countersSince(before, await registry.counters());
  t.equal(bytes, 0, 'no byte of a blob came from the registry');
  t.same(await files(join(stage.folder, 'node0', 'blobs')), []);
  t.same(
    await Promise.all((await files(containerdBlobs(root))).map(stamp)),
    theirs,
    'nothing was touched there',
  );
});

/** Paths of all plain files below a folder. */
async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name, parentPath }) => join(parentPath, name))
    .sort();
}

async function stamp(path: string): Promise<string> {
  const { ctimeMs, ino, mtimeMs, size } = await stat(path);
  return [path, ino, size, mtimeMs, ctimeMs].join(' ');
}
