import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { SeedEngine } from '../../lib/transfer/seed/seed-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;
const NODES = 6;
/** Of the blob, read by its owner when the owner dies. */
const SHARE = 0.4;

interface Scene {
  readonly cluster: MemoryCluster;
  readonly digest: Digest;
  readonly owner: Member<SeedEngine>;
  readonly pulls: readonly Promise<Digest>[];
  /** Registry bytes so far, as a multiple of the blob. */
  readonly ratio: () => number;
}

/** All nodes pull a blob, whose owner among two supernodes has read a part of it. */
async function midway(seed: number, meanwhile: (cluster: MemoryCluster) => void = () => {}): Promise<Scene> {
  const cluster = await MemoryCluster.start({ seed, nodes: NODES, supernodes: 2 });
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  const ratio = (): number => cluster.origin.ratio(digest);
  while (ratio() < SHARE / 2) await cluster.run(5);
  meanwhile(cluster);
  while (ratio() < SHARE) await cluster.run(5);
  const opened = cluster.events.find(
    ({ who, event }) => who.startsWith('super') && event.kind === 'blob-open',
  );
  const owner = cluster.supernodes.find(({ name }) => name === opened?.who);
  if (owner === undefined) throw new Error('nobody owns the blob');
  return { cluster, digest, owner, pulls, ratio };
}

/** The owner dies and the other supernode takes over. @returns how many clients got the wrong bytes, too */
async function takeOver(
  seed: number,
  meanwhile?: (cluster: MemoryCluster) => void,
): Promise<Scene & { readonly wrong: number }> {
  const scene = await midway(seed, meanwhile);
  const { cluster, digest, owner, pulls } = scene;
  cluster.crash(owner);
  const got = await cluster.until(Promise.all(pulls));
  return { ...scene, wrong: got.filter((each) => each !== digest).length };
}

/** A node that was not there before pulls the blob. @returns whether it got the right bytes */
async function pullLate({ cluster, digest }: Scene): Promise<boolean> {
  const late = await cluster.addNode('late');
  await cluster.run(10);
  return (await cluster.until(cluster.pull(late, digest, SIZE), 20_000)) === digest;
}

t.test('a supernode that takes over reads what nobody holds, and little else', async (t) => {
  for (let seed = 1; seed <= 4; seed++) {
    const { cluster, ratio, wrong } = await takeOver(seed);
    t.equal(wrong, 0, `seed ${seed}: every client got the right bytes`);
    t.ok(ratio() <= 1.1, `seed ${seed}: registry bytes ${ratio().toFixed(3)}x`);
    t.equal(cluster.events.filter(({ event }) => event.kind === 'fallback').length, 0, 'no node stepped in');
    if (seed === 1) {
      const again = await takeOver(seed);
      t.equal(again.cluster.traceHash, cluster.traceHash, 'the same seed gives the same trace');
    }
  }
});

t.test('a supernode that is told to stop hands over what nobody else holds', async (t) => {
  for (const seed of [1, 2, 3]) {
    const { cluster, digest, owner, pulls, ratio } = await midway(seed);
    const read = ratio();
    await cluster.until(owner.engine.drain(), 5000);
    const drained = ratio();
    t.ok(drained - read < 0.1, `seed ${seed}: it reads no more (${(drained - read).toFixed(3)})`);
    cluster.crash(owner);
    const got = await cluster.until(Promise.all(pulls));
    t.ok(got.every((each) => each === digest));
    t.ok(ratio() <= 1.01, `seed ${seed}: registry bytes ${ratio().toFixed(3)}x`);
    t.equal(cluster.events.filter(({ event }) => event.kind === 'fallback').length, 0, 'no node stepped in');
  }
});

t.test('who comes after a takeover gets from the nodes what the supernode never read', async (t) => {
  const scene = await takeOver(5);
  const before = scene.ratio();
  t.ok(await pullLate(scene));
  t.equal(scene.ratio(), before, 'without the registry');
});

t.test('when all who held a part are gone, the supernode reads it', async (t) => {
  const scene = await takeOver(6);
  const { cluster, ratio } = scene;
  const before = ratio();
  for (const node of cluster.nodes) cluster.crash(node);
  await cluster.run(1000);
  t.equal(ratio(), before, 'not before somebody wants it');
  t.ok(await pullLate(scene));
  t.ok(ratio() > before && ratio() < 2, `registry bytes ${before.toFixed(3)}x, then ${ratio().toFixed(3)}x`);
});

t.test('a node that holds pieces and does not pass them on fails no pull', async (t) => {
  const { cluster, ratio, wrong } = await takeOver(7, ({ network, nodes }) => {
    for (const { name } of nodes.slice(0, 2)) network.stall(name);
  });
  t.equal(wrong, 0);
  t.ok(cluster.clock.now() < 15_000, `after ${cluster.clock.now()} ms`);
  t.ok(ratio() < 2, `registry bytes ${ratio().toFixed(3)}x`);
});

t.test('a supernode that starts again empty reads only what nodes do not hold', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: NODES, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  while (cluster.origin.ratio(digest) < SHARE) await cluster.run(5);
  for (const supernode of cluster.supernodes) cluster.crash(supernode);
  await cluster.run(200);
  await cluster.addSupernode('again');
  const got = await cluster.until(Promise.all(pulls));
  t.ok(got.every((each) => each === digest));
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio <= 1.1, `registry bytes ${ratio.toFixed(3)}x`);
});
