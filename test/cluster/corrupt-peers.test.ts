import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** 64 pieces. */
const SIZE = 16 * MIB;
const NODES = 8;
/** A supernode needs 8 s to give each piece once. */
const NODE_RATE = 2 * MIB;

async function pullWithCorrupt(corrupt: number) {
  const options = { seed: 3, nodes: NODES, supernodes: 1, nodeBytesPerSecond: NODE_RATE };
  const cluster = await MemoryCluster.start(options);
  for (const { name } of cluster.nodes.slice(0, corrupt)) cluster.network.corrupt(name);
  const digest = cluster.blob(SIZE);
  const before = cluster.clock.now();
  let honestMs = 0;
  const pulls = cluster.nodes.map(async (node, index) => {
    const got = await cluster.pull(node, digest, SIZE);
    if (index >= corrupt) honestMs = cluster.clock.now() - before;
    return got;
  });
  const got = await cluster.until(Promise.all(pulls), 300_000);
  const wrong = got.filter((each) => each !== digest).length;
  return { wrong, ratio: cluster.origin.ratio(digest), honestMs };
}

t.test(
  'what a seed gives to nodes that spoil it others get all the same; nobody turns to the registry, nor do those nodes',
  async (t) => {
    const calm = await pullWithCorrupt(0);
    const quarter = await pullWithCorrupt(NODES / 4);
    t.equal(quarter.wrong, 0);
    t.ok(quarter.ratio <= 1.01, `the registry was read ${quarter.ratio.toFixed(3)} times`);
    const slower = quarter.honestMs / calm.honestMs;
    t.ok(slower <= 1.5, `${Math.round(quarter.honestMs)} ms for the others, ${slower.toFixed(2)}x of calm`);
  },
);

t.test(
  'where every node spoils what it passes on, all get it from the seed, and little from the registry',
  async (t) => {
    const { ratio, wrong } = await pullWithCorrupt(NODES);
    t.equal(wrong, 0);
    t.ok(ratio <= 1.2, `the registry was read ${ratio.toFixed(3)} times`);
  },
);
