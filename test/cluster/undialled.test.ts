import t from 'tap';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const MIB = 1024 * 1024;
const SIZE = 16 * MIB;

/** A cluster in which nobody can dial the nodes of these numbers. */
async function walledIn(nodes: number, walled: readonly number[], seed = 3): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.start({ seed, nodes, supernodes: 1, identities: true });
  for (const index of walled) cluster.network.refuseDials(`node${index}`, true);
  return cluster;
}

async function metric(node: Member<PeerEngine>, name: string): Promise<string> {
  return await node.deps.metrics.registry.getSingleMetricAsString(`damselfly_${name}`);
}

async function uploadedBytes(node: Member<PeerEngine>): Promise<number> {
  return Number(/\{to="peer"\} (\d+)/.exec(await metric(node, 'sent_bytes_total'))?.[1] ?? 0);
}

t.test('half of the nodes cannot be dialled: the registry is read once, and they give too', async (t) => {
  const walled = [0, 2, 4];
  const cluster = await walledIn(6, walled);
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(6).fill(digest));
  t.equal(cluster.origin.sentBytes.get(digest), SIZE);
  let together = 0;
  for (const [index, node] of cluster.nodes.entries()) {
    const { neighbours } = node.engine.status();
    const shutOut = neighbours.filter(({ cannotDialUs }) => cannotDialUs === true).length;
    t.match(await metric(node, 'peer_links_not_dialled'), new RegExp(` ${shutOut}$`, 'm'));
    t.equal(shutOut > 0, walled.includes(index), `${shutOut} cannot dial node ${index}`);
    if (!walled.includes(index)) continue;
    const given = await uploadedBytes(node);
    t.ok(given > 0, `node ${index} gave ${given} bytes`);
    together += given;
    t.match(await metric(node, 'reversed_connections_total'), /outcome="opened"\} [1-9]/);
  }
  t.ok(together >= walled.length * MIB, `those who cannot be dialled gave ${together} bytes`);
});

t.test('who holds a blob and cannot be dialled is had to dial those who want it', async (t) => {
  const cluster = await walledIn(2, [0]);
  const [holder, late] = [cluster.nodes[0]!, cluster.nodes[1]!];
  const digest = cluster.blob(SIZE);
  await cluster.until(cluster.pull(holder, digest, SIZE));
  // Nobody but the node holds it, and no link leads there.
  cluster.crash(cluster.supernodes[0]!);
  await cluster.run(20_000);
  t.equal(holder.engine.status().neighbours.length, 0);
  cluster.cutOff.add(late.name);
  t.equal(await cluster.until(cluster.pull(late, digest, SIZE)), digest);
  t.equal(cluster.origin.sentBytes.get(digest), SIZE);
  t.equal(await uploadedBytes(holder), SIZE);
});

t.test('two that cannot be dialled get the blob by way of others', async (t) => {
  const cluster = await walledIn(3, [0, 1]);
  const digest = cluster.blob(SIZE);
  const pulls = cluster.nodes.map((node) => cluster.pull(node, digest, SIZE));
  t.same(await cluster.until(Promise.all(pulls)), Array(3).fill(digest));
  t.equal(cluster.origin.sentBytes.get(digest), SIZE);
});

t.test('a supernode that does not answer is busy: it is not had to connect to those who wait', async (t) => {
  const cluster = await MemoryCluster.start({ seed: 3, nodes: 1, supernodes: 1, identities: true });
  const [node, supernode] = [cluster.nodes[0]!, cluster.supernodes[0]!];
  const digests = [cluster.blob(SIZE), cluster.blob(SIZE)] as const;
  await cluster.until(cluster.pull(node, digests[0], SIZE));
  cluster.network.refuseDials(supernode.name, true);
  t.equal(await cluster.until(cluster.pull(node, digests[1], SIZE)), digests[1]);
  t.notMatch(await metric(node, 'reversed_connections_total'), /outcome="asked"/);
});
