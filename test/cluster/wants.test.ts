import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import type { Link } from '../../lib/transfer/seams.ts';
import { decodePeerMessage } from '../../lib/wire/peer-codec.ts';
import type { PeerMessage } from '../../lib/wire/peer-messages.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** 64 pieces, each given once within 8 s. */
const SIZE = 32 * MIB;
const RATE = 4 * MIB;
const NODES = 6;
const VICTIMS = 2;
const NEVER = new AbortController().signal;

interface Outcome {
  readonly ratio: number;
  readonly longestMs: number;
  readonly asked: number;
  readonly read: number;
  readonly right: boolean;
}

/**
 * Everybody pulls; in the midst of it something happens to some.
 * @returns what became of the others
 */
async function pullAll(
  cluster: MemoryCluster,
  happens = (_: Member<PeerEngine>): void => {},
): Promise<Outcome> {
  const digest = cluster.blob(SIZE);
  const victims = cluster.nodes.slice(0, VICTIMS);
  let longestMs = 0;
  const pull = async (node: Member<PeerEngine>): Promise<string> => {
    const origin = { upstream: 'memory.test', repository: 'team/app' };
    const chunks: Uint8Array[] = [];
    let sinceMs = cluster.clock.now();
    for await (const chunk of node.engine.open({ digest, size: SIZE, origin }, { signal: NEVER })) {
      if (!victims.includes(node)) longestMs = Math.max(longestMs, cluster.clock.now() - sinceMs);
      sinceMs = cluster.clock.now();
      chunks.push(Uint8Array.from(chunk));
    }
    return digestOf(Buffer.concat(chunks));
  };
  const pulls = cluster.nodes.map(pull);
  for (const each of pulls) each.catch(() => {});
  await cluster.run(1000 + cluster.rng.int((SIZE / RATE) * 1000));
  for (const victim of victims) happens(victim);
  const got = await cluster.until(Promise.all(pulls.slice(VICTIMS)), 300_000);
  const wants = await Promise.all(cluster.nodes.map(({ deps }) => deps.metrics.wants.get()));
  return {
    ratio: cluster.origin.ratio(digest),
    longestMs,
    asked: wants.reduce((sum, { values }) => sum + (values[0]?.value ?? 0), 0),
    read: cluster.events.filter(({ event }) => event.kind === 'fallback').length,
    right: got.every((each) => each === digest),
  };
}

const start = (seed: number): Promise<MemoryCluster> =>
  MemoryCluster.start({ seed, nodes: NODES, supernodes: 1, nodeBytesPerSecond: RATE });

t.test(
  'what was given to nodes that die comes from the supernode again, and not from the registry',
  { timeout: 180_000 },
  async (t) => {
    let asked = 0;
    for (const seed of [2, 4, 5]) {
      const cluster = await start(seed);
      const outcome = await pullAll(cluster, (victim) => cluster.crash(victim));
      check(t, outcome, `seed ${seed}`);
      asked += outcome.asked;
    }
    t.ok(asked > 0, 'the supernode was asked');
  },
);

t.test('so does what was given to nodes that send wrong bytes', { timeout: 180_000 }, async (t) => {
  const cluster = await start(7);
  for (const { name } of cluster.nodes.slice(0, VICTIMS)) cluster.network.corrupt(name);
  const outcome = await pullAll(cluster);
  check(t, outcome, 'seed 7');
  t.ok(outcome.asked > 0, 'the supernode was asked');
});

t.test('and what nodes get that reach nobody but the supernode', { timeout: 180_000 }, async (t) => {
  const cluster = await start(1);
  for (const { name } of cluster.nodes.slice(0, VICTIMS)) {
    for (const other of cluster.nodes) if (other.name !== name) cluster.network.partition(name, other.name);
  }
  const outcome = await pullAll(cluster);
  check(t, outcome, 'seed 1');
  t.ok(outcome.asked > 0, 'the supernode was asked');
});

t.test('a supernode of an older version skips what it is asked, and all goes on as before', async (t) => {
  const cluster = await start(2);
  const engine = cluster.supernodes[0]?.engine;
  if (engine === undefined) throw new Error('no supernode');
  let skipped = 0;
  const link = engine.link.bind(engine);
  engine.link = (from) =>
    link(
      deaf(from, 'want', () => {
        skipped++;
      }),
    );
  const outcome = await pullAll(cluster, (victim) => cluster.crash(victim));
  t.ok(outcome.right);
  t.ok(skipped > 0 && skipped === outcome.asked, 'it was asked');
  t.ok(outcome.ratio < 1.1, `registry ${outcome.ratio.toFixed(3)}x`);
  t.ok(outcome.longestMs < 5200, `waited ${Math.round(outcome.longestMs)} ms`);
});

function check(t: Test, { longestMs, ratio, read, right }: Outcome, what: string): void {
  t.ok(right, `${what}: every client got the right bytes`);
  t.same([ratio, read], [1, 0], `${what}: the registry is read once, and by no node`);
  t.ok(longestMs < 4600, `${what}: waited ${Math.round(longestMs)} ms`);
}

/** The link as a process hears it that does not know messages of that type. */
function deaf(link: Link, type: PeerMessage['type'], onSkipped: () => void): Link {
  return {
    remoteHost: link.remoteHost,
    member: link.member,
    send: (message) => link.send(message),
    get bufferedBytes() {
      return link.bufferedBytes;
    },
    listen: (listener) =>
      link.listen({
        message: (bytes) => {
          if (decodePeerMessage(bytes)?.type === type) onSkipped();
          else listener.message(bytes);
        },
        closed: (reason) => listener.closed(reason),
      }),
    close: (reason) => link.close(reason),
  };
}
