import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { pieceBytesFor } from '../../lib/core/geometry.ts';
import type { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** Of a blob below 1 GiB. */
const STRIPE = 16 * MIB;
const SIZE = 3 * STRIPE + 5 * MIB + 17;
const NODES = 3;

interface Scene {
  readonly cluster: MemoryCluster;
  readonly digest: Digest;
  readonly size: number;
  /** Registry bytes so far, as a multiple of the blob. */
  readonly ratio: () => number;
  /** All nodes pull the blob. @returns the digest of what each got, or its error */
  readonly pullAll: () => Promise<unknown[]>;
}

async function setUp(seed: number, supernodes = 3, size = SIZE): Promise<Scene> {
  const cluster = await MemoryCluster.start({ seed, nodes: NODES, supernodes });
  const digest = cluster.blob(size);
  const pull = (node: (typeof cluster.nodes)[number]): Promise<unknown> =>
    cluster.pull(node, digest, size).catch((error: unknown) => error);
  return {
    cluster,
    digest,
    size,
    ratio: () => cluster.origin.ratio(digest),
    pullAll: () => Promise.all(cluster.nodes.map(pull)),
  };
}

/** Pieces that the process read from the registry, in order of their arrival. */
function readBy({ cluster }: Scene, name: string): number[] {
  return cluster.events.flatMap(({ who, event }) =>
    who === name && event.kind === 'piece' && event.source === 'origin' ? [event.index] : [],
  );
}

const STRIPE_PIECES = STRIPE / pieceBytesFor(SIZE);
const inStripe = (index: number): number => Math.floor(index / STRIPE_PIECES);
const stripesOf = (pieces: readonly number[]): number[] => [...new Set(pieces.map(inStripe))];

async function completes({ cluster, digest }: Scene, { name }: Member<SeedEngine>): Promise<boolean> {
  const has = (): boolean =>
    cluster.events.some(
      ({ who, event }) => who === name && event.kind === 'blob-complete' && event.digest === digest,
    );
  for (let waited = 0; waited < 100 && !has(); waited++) await cluster.run(100);
  return has();
}

t.test(
  'three supernodes read each stripe once between them, and each ends with the whole blob',
  async (t) => {
    const scene = await setUp(1);
    const { cluster, digest, pullAll, ratio } = scene;
    const got = await cluster.until(pullAll());
    t.same(got, Array(NODES).fill(digest));
    t.equal(ratio(), 1);
    const read = cluster.supernodes.map(({ name }) => readBy(scene, name));
    t.same(read.map((pieces) => stripesOf(pieces).length).sort(), [1, 1, 2], 'each has its stripes');
    t.equal(new Set(read.flat()).size, read.flat().length, 'no piece was read twice');
    for (const supernode of cluster.supernodes) t.ok(await completes(scene, supernode), supernode.name);
    t.equal(ratio(), 1, 'what others read is copied from them');
    t.equal(cluster.events.filter(({ event }) => event.kind === 'fallback').length, 0, 'no node stepped in');
  },
);

t.test('a blob of two stripes is read by one supernode, in few requests', async (t) => {
  const scene = await setUp(2, 3, 2 * STRIPE);
  const { cluster, digest, pullAll, ratio } = scene;
  t.same(await cluster.until(pullAll()), Array(NODES).fill(digest));
  t.equal(ratio(), 1);
  const readers = cluster.supernodes.filter(({ name }) => readBy(scene, name).length > 0);
  t.equal(readers.length, 1);
  t.ok(cluster.origin.requests <= 4, `${cluster.origin.requests} requests`);
});

t.test('a registry that sends no parts is read by the first owner alone', async (t) => {
  const scene = await setUp(3);
  const { cluster, digest, pullAll, ratio } = scene;
  cluster.origin.ranges = false;
  t.same(await cluster.until(pullAll()), Array(NODES).fill(digest));
  t.equal(ratio(), 1);
  const readers = cluster.supernodes.filter(({ name }) => readBy(scene, name).length > 0);
  t.equal(readers.length, 1);
  t.same(
    cluster.events.filter(({ event }) => event.kind === 'fallback'),
    [],
  );
});

t.test('when an owner dies, the others read of its stripes only what nobody holds', async (t) => {
  for (const supernodes of [3, 4]) {
    const scene = await setUp(4, supernodes);
    const { cluster, digest, pullAll, ratio } = scene;
    const pulls = pullAll();
    while (ratio() < 0.4) await cluster.run(5);
    const victim = cluster.supernodes.find(({ name }) => stripesOf(readBy(scene, name)).length > 0);
    if (victim === undefined) throw new Error('nobody reads');
    const held = new Set(
      cluster.events.flatMap(({ who, event }) =>
        who.startsWith('node') && event.kind === 'piece' ? [event.index] : [],
      ),
    );
    // News of pieces are up to 10 ms old.
    await cluster.run(20);
    const lost = readBy(scene, victim.name);
    cluster.crash(victim);
    t.same(await cluster.until(pulls), Array(NODES).fill(digest));
    const again = cluster.supernodes
      .filter((supernode) => supernode !== victim)
      .flatMap(({ name }) => readBy(scene, name));
    t.equal(new Set(again).size, again.length, 'the others read nothing twice');
    t.same(
      again.filter((piece) => held.has(piece) && lost.includes(piece)),
      [],
      'what a node had got from it is not read again',
    );
    t.ok(ratio() <= 1.1, `${supernodes} supernodes: registry bytes ${ratio().toFixed(3)}x`);
    t.same(
      cluster.events.filter(({ event }) => event.kind === 'fallback'),
      [],
    );
  }
});

t.test('wrong bytes in one stripe reach nobody as a whole, and the blob is read once more', async (t) => {
  const scene = await setUp(5);
  const { cluster, digest, pullAll, ratio } = scene;
  cluster.origin.lie = digest;
  cluster.origin.lieAt = STRIPE + 5;
  const first = await cluster.until(pullAll());
  t.ok(
    first.every((outcome) => hasCode(outcome, 'DIGEST_MISMATCH')),
    'every client was cut off',
  );
  cluster.origin.lie = undefined;
  // As a container runtime does, until it works.
  const retry = async (node: (typeof cluster.nodes)[number]): Promise<number> => {
    for (let attempt = 1; attempt < 10; attempt++) {
      const got = await cluster.pull(node, digest, SIZE).catch((error: unknown) => error);
      if (got === digest) return attempt;
      if (!(got instanceof DamselflyError)) throw new Error('a client got a whole wrong blob');
    }
    throw new Error('no attempt succeeded');
  };
  t.same(await cluster.until(Promise.all(cluster.nodes.map(retry))), Array(NODES).fill(1));
  for (const supernode of cluster.supernodes) t.ok(await completes(scene, supernode), supernode.name);
  t.ok(ratio() < 2.1, `registry bytes ${ratio().toFixed(3)}x`);
});

t.test('an owner that comes back empty copies from the others what they hold', async (t) => {
  const scene = await setUp(6, 3);
  const { cluster, digest, pullAll, ratio } = scene;
  await cluster.until(pullAll());
  for (const supernode of cluster.supernodes) await completes(scene, supernode);
  const [gone] = cluster.supernodes;
  if (gone === undefined) throw new Error('no supernode');
  cluster.crash(gone);
  for (const node of cluster.nodes) cluster.crash(node);
  await cluster.run(1000);
  const again = await cluster.addSupernode('again');
  await cluster.run(100);
  const late = await cluster.addNode('late');
  await cluster.run(10);
  t.equal(await cluster.until(cluster.pull(late, digest, SIZE)), digest);
  t.ok(await completes(scene, again));
  t.equal(ratio(), 1);
});

t.test('an owner that does not reach the registry leaves its stripes to the others', async (t) => {
  const scene = await setUp(7);
  const { cluster, digest, pullAll, ratio } = scene;
  cluster.cutOff.add('super1');
  t.same(await cluster.until(pullAll()), Array(NODES).fill(digest));
  t.ok(ratio() < 1.3, `registry bytes ${ratio().toFixed(3)}x`);
  const nodes = cluster.events.filter(
    ({ who, event }) => who.startsWith('node') && event.kind === 'piece' && event.source === 'origin',
  );
  // It tries for six seconds; meanwhile nodes lose patience.
  t.ok(cluster.clock.now() < 8000, `after ${cluster.clock.now()} ms`);
  t.ok(nodes.length < STRIPE_PIECES, `${nodes.length} pieces read by nodes`);
  const others = cluster.supernodes.flatMap(({ name }) => stripesOf(readBy(scene, name)));
  t.same([...new Set(others)].sort(), [0, 1, 2, 3], 'the others read in every stripe');
});

t.test('nodes drop wrong pieces at the word of their supernode, before they have them all', async (t) => {
  const rate = 20 * MIB;
  const size = 20 * MIB;
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 4, supernodes: 1, nodeBytesPerSecond: rate });
  const digest = cluster.blob(size);
  cluster.origin.lie = digest;
  const pull = (node: (typeof cluster.nodes)[number]): Promise<unknown> =>
    cluster.pull(node, digest, size).catch((error: unknown) => error);
  const outcomes = await cluster.until(Promise.all(cluster.nodes.map(pull)));
  t.ok(outcomes.every((outcome) => hasCode(outcome, 'DIGEST_MISMATCH')));
  t.ok(cluster.clock.now() < (size / rate) * 1000, `after ${cluster.clock.now()} ms`);
  cluster.origin.lie = undefined;
  t.same(await cluster.until(Promise.all(cluster.nodes.map(pull))), Array(4).fill(digest));
  t.equal(cluster.origin.ratio(digest), 2, 'read once more');
  t.same(
    cluster.events.filter(({ event }) => event.kind === 'fallback'),
    [],
  );
});
