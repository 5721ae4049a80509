import t from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import type { ByteRange } from '../../lib/core/range.ts';
import { MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 40 * MIB;
const ORIGIN = { upstream: 'memory.test', repository: 'team/app' };

/** Reads a range at the first node. @returns the bytes, when they came, and the error that ended it */
async function read(
  cluster: MemoryCluster,
  digest: Digest,
  range: ByteRange,
  rangeIs: 'rest' | 'part',
  size = SIZE,
): Promise<{ bytes: number; seconds: number; error: unknown }> {
  const [node] = cluster.nodes;
  if (node === undefined) throw new Error('no node');
  const signal = new AbortController().signal;
  const startedMs = cluster.clock.now();
  let bytes = 0;
  let error: unknown;
  try {
    const request = { digest, size, origin: ORIGIN, range, rangeIs };
    for await (const chunk of node.engine.open(request, { signal })) bytes += chunk.length;
  } catch (thrown) {
    error = thrown;
  }
  return { bytes, seconds: (cluster.clock.now() - startedMs) / 1000, error };
}

for (const supernodes of [0, 1]) {
  t.test(`the footer of a cold blob comes at once, with ${supernodes} supernodes`, async (t) => {
    const cluster = await MemoryCluster.start({ seed: 5, nodes: 1, supernodes });
    const digest = cluster.blob(SIZE);
    const footer = read(cluster, digest, { start: SIZE - 47, end: SIZE }, 'part');
    const table = read(cluster, digest, { start: SIZE - 300_000, end: SIZE - 47 }, 'part');
    await cluster.until(Promise.all([footer, table]), 30_000);
    for (const [part, length] of [
      [await footer, 47],
      [await table, 299_953],
    ] as const) {
      t.equal(part.error, undefined);
      t.equal(part.bytes, length);
      t.ok(part.seconds <= 0.1, `${part.seconds} s`);
    }
  });
}

t.test('the rest of a blob whose beginning is elsewhere is not complete before the digest is', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 6, nodes: 1, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  cluster.origin.lie = digest;
  const rest = read(cluster, digest, { start: 10 * MIB, end: SIZE }, 'rest');
  await cluster.until(rest, 60_000);
  const { bytes, error } = await rest;
  t.ok(hasCode(error, 'DIGEST_MISMATCH'));
  t.ok(bytes <= SIZE - 10 * MIB - 64 * 1024, `${bytes} bytes`);
});

t.test('a part that is the whole blob is no way around its digest', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 7, nodes: 1, supernodes: 1 });
  const size = 600_000;
  const digest = cluster.blob(size);
  cluster.origin.lie = digest;
  const part = read(cluster, digest, { start: 0, end: size }, 'part', size);
  await cluster.until(part, 60_000);
  t.ok((await part).bytes <= size - 64 * 1024);
});

t.test('a part that the registry does not give comes from the swarm', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 8, nodes: 2, supernodes: 1 });
  const digest = cluster.blob(SIZE);
  const [, other] = cluster.nodes;
  if (other === undefined) throw new Error('no other node');
  t.equal(await cluster.until(cluster.pull(other, digest, SIZE)), digest);
  cluster.origin.failure = new DamselflyError('UPSTREAM_UNREACHABLE', 'gone');
  const part = read(cluster, digest, { start: SIZE - 47, end: SIZE }, 'part');
  await cluster.until(part);
  t.match(await part, { bytes: 47, error: undefined });
});
