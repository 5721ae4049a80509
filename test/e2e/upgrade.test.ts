import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:http';
import t from 'tap';
import { proxyUrl } from '../../bench/fixtures/cluster.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import { createStage, NAMESPACE } from '../helpers/stage.ts';
import { blobUrl, followDaemon, openUrl, upgrade } from '../helpers/upgrading.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const UPGRADES = 3;
/** Each blob is read by several clients that pause in its middle, each at other places. */
const SLOW_READERS = 4;
const BUSY_CLIENTS = 8;

t.test('three upgrades in the middle of pulls: every answer is whole', { skip }, async (t) => {
  await using stage = await createStage('upgrade', {
    registryRate: 24 * MIB,
    image: { totalBytes: 96 * MIB, layers: 3 },
  });
  const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
  const last = followDaemon(stage, cluster, 0);
  const before = await stage.registry.counters();

  const upgraded = Array.from({ length: UPGRADES }, () => Promise.withResolvers<void>());
  /** Counts down to the upgrade: it begins when every reader stands where it waits for it. */
  const readers = stage.image.layers.length * SLOW_READERS;
  const waiting = Array.from({ length: UPGRADES }, () => ({
    left: readers,
    all: Promise.withResolvers<void>(),
  }));

  const slowly = async (digest: string, size: number, reader: number): Promise<string> => {
    const hash = createHash('sha256');
    let bytes = 0;
    let round = 0;
    for await (const chunk of await openUrl(blobUrl(stage, cluster, digest))) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      const stop = (round + 0.2 + (0.6 * reader) / SLOW_READERS) / UPGRADES;
      if (round < UPGRADES && bytes > size * stop) {
        const here = waiting[round]!;
        if (--here.left === 0) here.all.resolve();
        await upgraded[round]?.promise;
        round++;
      }
    }
    if (round < UPGRADES) throw new Error('the answer ended before the last upgrade');
    return `sha256:${hash.digest('hex')}`;
  };
  const slow = stage.image.layers.flatMap(({ digest, size }) =>
    Array.from({ length: SLOW_READERS }, (_, reader) => slowly(digest, size, reader)),
  );

  // Others ask all the time, on connections that they keep.
  const busy = { on: true, asked: 0, manifests: 0, failed: [] as string[] };
  const manifestUrl = `${proxyUrl(cluster.daemons[0]!)}/v2/${stage.repository}/manifests/${stage.image.tag}?ns=${NAMESPACE}`;
  const configUrl = blobUrl(stage, cluster, stage.image.config.digest);
  const askAgain = async (agent: Agent): Promise<void> => {
    const headers = { accept: stage.image.manifest.mediaType };
    while (busy.on) {
      for (const url of [manifestUrl, configUrl]) {
        try {
          const response = await openUrl(url, { agent, headers });
          response.resume();
          await once(response, 'end');
          busy.asked++;
          if (url === manifestUrl) busy.manifests++;
        } catch (error) {
          busy.failed.push(String(error));
        }
      }
    }
    agent.destroy();
  };
  const asking = Array.from({ length: BUSY_CLIENTS }, () =>
    askAgain(new Agent({ keepAlive: true, maxSockets: 1 })),
  );

  const pids = new Set([last.pid]);
  const gaps: number[] = [];
  for (let round = 0; round < UPGRADES; round++) {
    await Promise.race([waiting[round]?.all.promise, Promise.all(slow)]);
    const startedMs = performance.now();
    last.pid = await upgrade(cluster, 0);
    gaps.push(Math.round(performance.now() - startedMs));
    pids.add(last.pid);
    upgraded[round]?.resolve();
  }
  const digests = await Promise.all(slow);
  busy.on = false;
  await Promise.all(asking);
  t.equal(pids.size, UPGRADES + 1, 'each time another process');
  t.same(
    digests,
    stage.image.layers.flatMap(({ digest }) => Array.from({ length: SLOW_READERS }, () => digest)),
    `${readers} answers span all of them`,
  );
  t.same(busy.failed, [], `${busy.asked} short requests meanwhile`);
  t.comment(`upgrades took ${gaps.join(', ')} ms`);
  // Each manifest is asked of the registry anew.
  const { bytes } = countersSince(before, await stage.registry.counters());
  const ratio = (bytes - busy.manifests * stage.image.manifest.size) / stage.image.bytes;
  t.ok(ratio <= 1.001, `the registry sent ${ratio.toFixed(4)}x the image`);
});

t.test(
  'containerd pulls through daemons that are upgraded',
  { skip: skip || skipReason(containerd) },
  async (t) => {
    await using stage = await createStage('upgrade-containerd', {
      registryRate: 6 * MIB,
      image: { totalBytes: 96 * MIB, layers: 3, busybox: '/bin/busybox', compression: 'gzip' },
    });
    const cluster = await stage.startCluster({ nodes: 2, supernodes: 1 });
    const before = await stage.registry.counters();
    const pull = { namespace: NAMESPACE, registry: stage.registry.address, repository: stage.repository };
    let pulling = 0;
    const pullOn = async (node: number): Promise<string> => {
      const folder = await stage.makeFolder(`containerd${node}`);
      const mirror = cluster.daemons[node]?.ready.proxy[0]?.address ?? '';
      pulling++;
      try {
        return (await containerd.pull({ ...pull, tag: stage.image.tag, folder, mirror })).manifestDigest;
      } finally {
        pulling--;
      }
    };
    const started = async (node: number): Promise<boolean> => {
      const answer = await fetch(`http://${cluster.daemons[node]?.ready.admin ?? ''}/metrics`);
      return /^damselfly_sent_bytes_total\{to="client"\} [1-9]/m.test(await answer.text());
    };
    /** Upgrades the daemon of a node for as long as containerd pulls. @returns how often it did in the middle of a pull */
    const upgradeOn = async (node: number): Promise<number> => {
      const last = followDaemon(stage, cluster, node);
      while (!(await started(node)));
      for (let upgrades = 0; ; upgrades++) {
        last.pid = await upgrade(cluster, node);
        if (pulling === 0) return upgrades;
      }
    };
    const pulls = Promise.all([0, 1].map(pullOn));
    const upgrades = await Promise.all([0, 1].map(upgradeOn));
    t.same(await pulls, Array(2).fill(stage.image.manifest.digest), 'the images are whole');
    t.comment(`upgrades in the middle of the pulls: ${upgrades.join(', ')}`);
    t.ok(Math.min(...upgrades) >= 1, 'each daemon was upgraded in the middle');
    const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
    t.ok(ratio <= 1.001, `the registry sent ${ratio.toFixed(4)}x the image`);
  },
);
