import t from 'tap';
import { type Cluster, proxyUrl } from '../../bench/fixtures/cluster.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { countersSince } from '../../bench/fixtures/registry-counters.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage, type Stage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const skip = skipReason({ programs: ['docker-registry'] });
const NODES = 3;
/** Of one layer: four stripes and a part of one. */
const LAYER_BYTES = 70 * MIB;
const DEADLINE_MS = 60_000;

async function stageWith(name: string, registryRate: number): Promise<Stage> {
  return createStage(name, { registryRate, image: { totalBytes: LAYER_BYTES, layers: 1 } });
}

/** All daemons pull at once. @returns what each got; `strike` is called when one is in the middle */
async function pullAll(stage: Stage, cluster: Cluster, strike?: () => Promise<void>): Promise<unknown[]> {
  let struck: Promise<void> | undefined;
  const outcomes = await pullTogether(
    cluster.daemons.map((daemon) => ({
      base: proxyUrl(daemon),
      repository: stage.repository,
      tag: stage.image.tag,
    })),
    {
      signal: AbortSignal.timeout(DEADLINE_MS),
      workers: 2,
      onProgress: (_puller, bytes) => {
        if (bytes > stage.image.bytes * 0.2) struck ??= strike?.();
      },
    },
  );
  await struck;
  return outcomes;
}

const complete = ({ image }: Stage): object => ({
  kind: 'done',
  result: { manifestDigest: image.manifest.digest, bytes: image.bytes },
});

/** Bytes that the supernode has received from there. */
async function received(cluster: Cluster, supernode: number, source: string): Promise<number> {
  const response = await fetch(`http://${cluster.supernodes[supernode]?.ready.admin ?? ''}/metrics`);
  const text = await response.text();
  const line = new RegExp(`^damselfly_received_bytes_total\\{source="${source}"\\} (\\d+)$`, 'm').exec(text);
  return Number(line?.[1] ?? 0);
}

t.test(
  'three supernodes read a layer once between them, and each has all of it then',
  { skip },
  async (t) => {
    await using stage = await stageWith('striping', 64 * MIB);
    const cluster = await stage.startCluster({ nodes: NODES, supernodes: 3 });
    const before = await stage.registry.counters();
    t.match(await pullAll(stage, cluster), Array(NODES).fill(complete(stage)));
    const all = [0, 1, 2];
    const read = await Promise.all(all.map((each) => received(cluster, each, 'origin')));
    const { bytes } = countersSince(before, await stage.registry.counters());
    t.ok(bytes <= stage.image.bytes * 1.001, `the registry sent ${(bytes / stage.image.bytes).toFixed(4)}x`);
    t.ok(
      read.every((bytes) => bytes >= 16 * MIB && bytes <= 32 * MIB + MIB),
      `each reads a part of ${read.join(', ')}`,
    );
    const deadline = AbortSignal.timeout(DEADLINE_MS);
    for (const each of all) {
      const whole = async (): Promise<boolean> =>
        (await received(cluster, each, 'supernode')) + (read[each] ?? 0) >= LAYER_BYTES;
      while (!(await whole())) {
        deadline.throwIfAborted();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const { bytes: after } = countersSince(before, await stage.registry.counters());
    t.equal(after, bytes, 'the rest came from the other supernodes');
  },
);

t.test('one of three supernodes killed in the middle: only its part is read again', { skip }, async (t) => {
  await using stage = await stageWith('striping-kill', 16 * MIB);
  const cluster = await stage.startCluster({ nodes: NODES, supernodes: 3 });
  const before = await stage.registry.counters();
  const outcomes = await pullAll(stage, cluster, async () => cluster.supernodes[1]?.kill('SIGKILL'));
  t.match(outcomes, Array(NODES).fill(complete(stage)));
  const ratio = countersSince(before, await stage.registry.counters()).bytes / stage.image.bytes;
  t.ok(ratio <= 1.3, `the registry sent ${ratio.toFixed(3)}x the image`);
});
