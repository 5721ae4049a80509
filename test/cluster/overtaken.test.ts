import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
/** 64 pieces: given to two nodes each, they take the supernode half a minute. */
const SIZE = 16 * MIB;
const RATE = 1 * MIB;
const NEVER = new AbortController().signal;

t.test('a client whose next piece is given to somebody else first waits no longer than 5 s', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: 2, supernodes: 1, nodeBytesPerSecond: RATE });
  // A supernode gives each piece once before it gives any twice, and these two cannot pass on what they got.
  cluster.network.partition('node0', 'node1');
  const digest = cluster.blob(SIZE);
  let longestMs = 0;
  const pull = async ({ engine }: Member<PeerEngine>): Promise<string> => {
    const origin = { upstream: 'memory.test', repository: 'team/app' };
    const chunks: Uint8Array[] = [];
    let sinceMs = cluster.clock.now();
    for await (const chunk of engine.open({ digest, size: SIZE, origin }, { signal: NEVER })) {
      longestMs = Math.max(longestMs, cluster.clock.now() - sinceMs);
      sinceMs = cluster.clock.now();
      chunks.push(Uint8Array.from(chunk));
    }
    return digestOf(Buffer.concat(chunks));
  };
  t.same(await cluster.until(Promise.all(cluster.nodes.map(pull))), [digest, digest]);
  t.ok(longestMs < 5000, `${Math.round(longestMs)} ms`);
  const ratio = cluster.origin.ratio(digest);
  t.ok(ratio < 1.2, `registry bytes ${ratio.toFixed(3)}x: no more than the client needs next`);
});
