import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { createRecordingTracer, type RecordedSpan, TRACED } from '../helpers/recording-tracer.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 8 * MIB + 11;
/** Three supernodes read it between them. */
const STRIPED = 3 * 16 * MIB + 11;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };

type Node = Member<MemoryCluster['nodes'][number]['engine']>;

/** A client that is traced reads the blob, or its first bytes. */
async function pullTraced(node: Node, digest: Digest, size = SIZE, upTo = size): Promise<void> {
  const request = { digest, size, origin: { ...ORIGIN, traceparent: TRACED } };
  let got = 0;
  for await (const chunk of node.engine.open(request, { signal: new AbortController().signal })) {
    got += chunk.length;
    if (got >= upTo) return;
  }
}

const number = ({ facts }: RecordedSpan, name: string): number => Number(facts[`damselfly.${name}`]);
const rate = (span: RecordedSpan): number => number(span, 'bytes.received') / number(span, 'transfer.ms');

t.test('each neighbour that sent is one span of the pull, and the slow one shows', async (t) => {
  const tracer = createRecordingTracer();
  const cluster = await MemoryCluster.start({
    ...{ seed: 5, nodes: 2, supernodes: 3 },
    limits: (name) => (name === 'super1' ? { uploadRate: 2 * MIB } : {}),
    tracer: (name) => (name === 'node0' ? tracer : undefined),
  });
  const digest = cluster.blob(STRIPED);
  const [first, other] = cluster.nodes;
  await cluster.until(
    Promise.all<unknown>([pullTraced(first!, digest, STRIPED), cluster.pull(other!, digest, STRIPED)]),
  );

  const pull = tracer.spans.find(({ name }) => name === 'pull blob');
  const senders = tracer.spans.filter(({ name }) => name === 'get pieces');
  t.equal(pull?.parent, TRACED);
  const ids = senders.map(({ facts }) => facts['damselfly.peer.id']);
  t.equal(new Set(ids).size, ids.length, 'one span a neighbour');
  t.ok(senders.length >= 3, `${senders.length} sent`);
  const came = cluster.events.flatMap(({ event, who }) =>
    who === 'node0' && event.kind === 'piece' && event.from !== undefined ? [event] : [],
  );
  for (const span of senders) {
    const theirs = came.filter(({ from }) => from === span.facts['damselfly.peer.id']);
    t.equal(span.parent, pull?.traceparent);
    t.equal(span.facts['damselfly.blob.digest'], digest);
    t.equal(number(span, 'pieces.received'), theirs.length);
    t.equal(
      number(span, 'bytes.received'),
      theirs.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    t.equal(span.sinceMs, Math.min(...theirs.map(({ askedMs = 0 }) => askedMs)), 'from when it was asked');
    t.ok(Number(span.atMs) >= Math.max(...theirs.map(({ arrivedMs = 0 }) => arrivedMs)));
  }
  t.equal(
    senders.reduce((sum, span) => sum + number(span, 'bytes.received'), 0),
    STRIPED,
    'together they sent all of it',
  );
  const guilty = cluster.supernodes.find(({ name }) => name === 'super1')?.deps.self().id;
  const [slowest] = senders.filter((span) => rate(span) > 0).sort((a, b) => rate(a) - rate(b));
  t.equal(slowest?.facts['damselfly.peer.id'], guilty, 'the slow one had the lowest rate');
});

t.test('a pull that is cut off tells who sent until then, and the next one begins anew', async (t) => {
  const tracer = createRecordingTracer();
  const cluster = await MemoryCluster.start({
    ...{ seed: 6, nodes: 1, supernodes: 1 },
    tracer: () => tracer,
  });
  const digest = cluster.blob(SIZE);
  const [node] = cluster.nodes;
  const sent = (): number[] =>
    tracer.spans.flatMap((span) => (span.name === 'get pieces' ? [number(span, 'bytes.received')] : []));
  await cluster.until(pullTraced(node!, digest, SIZE, MIB));
  t.equal(sent().length, 1);
  t.ok(sent()[0]! >= MIB && sent()[0]! < SIZE);
  await cluster.until(pullTraced(node!, digest));
  t.equal(sent().length, 2);
  t.ok(sent()[0]! + sent()[1]! <= SIZE, 'no piece is told twice');
});

t.test('a neighbour that gave nothing is told as that', async (t) => {
  const tracer = createRecordingTracer();
  const cluster = await MemoryCluster.start({
    ...{ seed: 7, nodes: 1, supernodes: 1 },
    tracer: (name) => (name === 'node0' ? tracer : undefined),
    limits: (name) => (name === 'super0' ? { uploadRate: 1 } : {}),
  });
  const digest = cluster.blob(SIZE);
  await cluster.until(pullTraced(cluster.nodes[0]!, digest));
  const [span] = tracer.spans.filter(({ name }) => name === 'get pieces');
  t.match(span, { failure: 'no-piece', facts: { 'damselfly.pieces.received': 0 } });
  t.ok(number(span!, 'pieces.overtaken') > 0);
});

t.test('who is not traced costs no span', async (t) => {
  const tracer = createRecordingTracer();
  const cluster = await MemoryCluster.start({
    ...{ seed: 8, nodes: 1, supernodes: 1 },
    tracer: () => tracer,
  });
  const digest = cluster.blob(SIZE);
  await cluster.until(cluster.pull(cluster.nodes[0]!, digest, SIZE));
  t.same(tracer.spans, []);
});
