import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SEEDS = 20;
const NODES = 8;
const BLOBS = [2 * MIB + 17, 3 * MIB];

/** What goes wrong in the middle of a run, drawn from the seed. */
const FAULTS = [
  'none',
  'node-crash',
  'corrupt-node',
  'stalled-node',
  'supernode-crash',
  'tracker-down',
  'registry-cut',
] as const;

interface Outcome {
  readonly hash: string;
  readonly fault: string;
  readonly wrong: number;
  readonly originRatio: number;
  readonly rejected: number;
}

async function runOnce(seed: number): Promise<Outcome> {
  const cluster = await MemoryCluster.start({ seed, nodes: NODES, supernodes: 2 });
  const fault = FAULTS[seed % FAULTS.length] ?? 'none';
  const digests = BLOBS.map((size) => cluster.blob(size));
  if (fault === 'registry-cut') cluster.origin.cuts.push(MIB + 1, MIB / 2);
  const victim = cluster.nodes[seed % NODES];
  if (victim === undefined) throw new Error('no victim');
  if (fault === 'corrupt-node') cluster.network.corrupt(victim.name);
  const pulls = cluster.nodes.flatMap((node) =>
    digests.map(async (digest, index) => ({
      node,
      digest,
      got: await cluster.pull(node, digest, BLOBS[index] ?? 0).catch((error: unknown) => error),
    })),
  );
  await cluster.run(20 + cluster.rng.int(60));
  if (fault === 'node-crash') cluster.crash(victim);
  if (fault === 'stalled-node') cluster.network.stall(victim.name);
  if (fault === 'supernode-crash') cluster.supernodes.forEach((supernode) => cluster.crash(supernode));
  if (fault === 'tracker-down') cluster.tracker.reachable = false;
  const survivors = pulls.filter(
    (_, index) => fault !== 'node-crash' || cluster.nodes[Math.floor(index / 2)] !== victim,
  );
  const results = await cluster.until(Promise.all(survivors));
  const sent = digests.reduce((sum, digest) => sum + (cluster.origin.sentBytes.get(digest) ?? 0), 0);
  return {
    hash: cluster.traceHash,
    fault,
    wrong: results.filter(({ digest, got }) => got !== digest).length,
    originRatio: sent / BLOBS.reduce((sum, size) => sum + size, 0),
    rejected: cluster.events.filter(({ event }) => event.kind === 'piece-rejected').length,
  };
}

void t.test(
  `${SEEDS} seeded clusters, each run twice, end alike and with every byte right`,
  { timeout: 180_000 },
  async (t) => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const first = await runOnce(seed);
      const second = await runOnce(seed);
      seen.add(first.fault);
      t.equal(first.wrong, 0, `seed ${seed} (${first.fault}): every surviving client got the right bytes`);
      t.same(second, first, `seed ${seed} (${first.fault}): the same seed gives the same trace`);
      const once = !['supernode-crash', 'tracker-down'].includes(first.fault);
      // A cut body is read on from the last whole piece: at most a piece of each cut is read again.
      if (once) {
        t.ok(
          first.originRatio < 1.2,
          `seed ${seed} (${first.fault}): registry bytes ${first.originRatio.toFixed(3)}x`,
        );
      }
      if (first.fault === 'none') {
        t.equal(first.originRatio, 1, `seed ${seed}: the registry is read exactly once`);
      }
      if (first.fault === 'corrupt-node') t.ok(first.rejected > 0, `seed ${seed}: wrong pieces were noticed`);
    }
    t.equal(seen.size, FAULTS.length, 'every fault was drawn');
  },
);

void t.test(
  'without supernodes the nodes read the registry themselves and share what they read',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 5, nodes: 6, supernodes: 0 });
    const size = 8 * MIB;
    const digest = cluster.blob(size);
    const got = await cluster.until(
      Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size))),
    );
    t.ok(got.every((each) => each === digest));
    t.ok(
      cluster.origin.ratio(digest) < 3,
      `registry bytes ${cluster.origin.ratio(digest).toFixed(2)}x for 6 nodes`,
    );
  },
);

void t.test(
  'a registry that sends wrong bytes: every client is cut off, none gets a complete wrong blob',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 7, nodes: 4, supernodes: 1 });
    const size = 2 * MIB;
    const digest = cluster.blob(size);
    cluster.origin.lie = digest;
    const failed = (node: (typeof cluster.nodes)[number]): Promise<unknown> =>
      cluster.pull(node, digest, size).catch((error: unknown) => error);
    const outcomes = await cluster.until(Promise.all(cluster.nodes.map(failed)));
    t.ok(
      outcomes.every((outcome) => hasCode(outcome, 'DIGEST_MISMATCH')),
      'the digest is refused everywhere',
    );
    cluster.origin.lie = undefined;
    const again = await cluster.until(
      Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size))),
    );
    t.ok(
      again.every((each) => each === digest),
      'once the registry is right, so is the next attempt',
    );
  },
);

void t.test(
  'case 59: a node that the swarm gave wrong bytes twice reads the blob from the registry itself',
  async (t) => {
    const cluster = await MemoryCluster.start({ seed: 9, nodes: 1, supernodes: 1 });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    const size = 2 * MIB;
    const digest = cluster.blob(size);
    const pull = (): Promise<unknown> =>
      cluster.until(cluster.pull(node, digest, size).catch((error: unknown) => error));
    cluster.origin.lie = digest;
    for (const attempt of [1, 2]) t.ok(hasCode(await pull(), 'DIGEST_MISMATCH'), `attempt ${attempt}`);
    cluster.origin.lie = undefined;
    const before = cluster.origin.ratio(digest);
    const pieces = cluster.events.length;
    t.equal(await pull(), digest);
    t.equal(cluster.origin.ratio(digest) - before, 1, 'by one read');
    t.notOk(
      cluster.events.slice(pieces).some(({ event }) => event.kind === 'piece'),
      'which no other node took part in',
    );
  },
);

void t.test('a blob that the registry does not have fails with its status, and soon', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 2, supernodes: 1 });
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const missing = `sha256:${'0'.repeat(64)}` as Digest;
  const before = cluster.clock.now();
  const error = await cluster.until(cluster.pull(node, missing, MIB).catch((caught: unknown) => caught));
  t.ok(hasCode(error, 'UPSTREAM_REFUSED') && error.facts['status'] === 404);
  t.ok(cluster.clock.now() - before < 5000, 'without a silent wait of more than five seconds');
});

void t.test('a full disk does not fail a pull: the bytes come past it from the registry', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 9, nodes: 3, supernodes: 1 });
  const size = 4 * MIB;
  const digest = cluster.blob(size);
  const [full] = cluster.nodes;
  if (full === undefined) throw new Error('no node');
  full.disk.fillUpAfter(MIB + 1000);
  const got = await cluster.until(Promise.all(cluster.nodes.map((node) => cluster.pull(node, digest, size))));
  t.ok(got.every((each) => each === digest));
});

void t.test('a registry that is down fails a pull with its error, and a later pull succeeds', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 10, nodes: 2, supernodes: 1 });
  const size = MIB;
  const digest = cluster.blob(size);
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  cluster.origin.failure = new DamselflyError('UPSTREAM_UNREACHABLE', 'connection refused');
  const error = await cluster.until(cluster.pull(node, digest, size).catch((caught: unknown) => caught));
  t.ok(hasCode(error, 'UPSTREAM_UNREACHABLE'));
  cluster.origin.failure = undefined;
  t.equal(await cluster.until(cluster.pull(node, digest, size)), digest);
});
