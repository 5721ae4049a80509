import t from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { MemoryObjectStore } from '../../lib/objects/memory-object-store.ts';
import { fileOrigin } from '../../lib/origin/file.ts';
import { fingerprintOf } from '../../lib/security/cluster-authority.ts';
import type { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import { encodePeerMessage } from '../../lib/wire/peer-codec.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { type Member, MemoryCluster } from './memory-cluster.ts';

const SIZE = 6 * 1024 * 1024 + 5;
const NEVER = new AbortController().signal;
const PATH = '/private/model.bin';
const ALICE = 'Bearer alice';
const bytes = Buffer.alloc(SIZE, 'a secret ');

const placeFor = (authorization?: string): BlobOrigin =>
  fileOrigin(new URL(`http://memory.test${PATH}`), 'memory.test', {
    headers: authorization === undefined ? {} : { authorization },
  });

async function read(node: Member<PeerEngine>, digest: Digest, origin: BlobOrigin): Promise<Digest> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of node.engine.open({ digest, size: SIZE, origin }, { signal: NEVER })) {
    chunks.push(Uint8Array.from(chunk));
  }
  return digestOf(Buffer.concat(chunks));
}

async function start(seed: number, nodes: number) {
  const cluster = await MemoryCluster.start({
    ...{ seed, nodes, supernodes: 1, identities: true, capabilities: true },
  });
  return { cluster, key: cluster.origin.addFile(PATH, bytes, ALICE) };
}

t.test('a file at a URL is shared by those whom its source lets read it', async (t) => {
  const { cluster, key } = await start(1, 3);
  const pulls = cluster.nodes.map((node) => read(node, key, placeFor(ALICE)));
  t.same(await cluster.until(Promise.all(pulls)), Array(3).fill(digestOf(bytes)));
  t.equal(cluster.origin.ratio(key), 1, 'and read once');
  t.same(cluster.origin.asked, [PATH], 'after one question for all that show the same');
});

t.test('a file at a URL never comes into a bucket', async (t) => {
  const objects = new MemoryObjectStore();
  const cluster = await MemoryCluster.start({ seed: 9, nodes: 1, supernodes: 1, objects });
  const key = cluster.origin.addFile(PATH, bytes);
  const [alice] = cluster.nodes as [Member<PeerEngine>];
  t.equal(await cluster.until(read(alice, key, placeFor())), digestOf(bytes));
  await cluster.run(120_000);
  t.equal(objects.objects.size, 0);
  t.equal(objects.begun, 0);
});

t.test('who knows a key, and shows its source nothing that it accepts, gets zero bytes', async (t) => {
  const { cluster, key } = await start(2, 3);
  const [alice, carol, mallory] = cluster.nodes as [
    Member<PeerEngine>,
    Member<PeerEngine>,
    Member<PeerEngine>,
  ];
  for (const node of [alice, carol]) await cluster.until(read(node, key, placeFor(ALICE)));
  for (const shown of [undefined, 'Bearer mallory']) {
    await t.rejects(cluster.until(read(mallory, key, placeFor(shown))), { code: 'UPSTREAM_REFUSED' });
  }
  const got = cluster.events.filter(({ event, who }) => event.kind === 'piece' && who === mallory.name);
  t.same(got, []);
  t.equal(cluster.origin.ratio(key), 1);
});

t.test('a member that asks peers for a key without a capability is refused, and counted', async (t) => {
  const { cluster, key } = await start(3, 1);
  const [alice] = cluster.nodes as [Member<PeerEngine>];
  await cluster.until(read(alice, key, placeFor(ALICE)));
  const { certificate, identity } = await testMember(await testAuthority(), 'node');
  const fingerprint = fingerprintOf(certificate).toString('hex');
  const member = { id: identity.name, role: 'node', fingerprint } as const;
  const network = cluster.network.host('thief', { member });
  for (const { deps, name } of [alice, ...cluster.supernodes]) {
    const address = { host: name, port: 1000 };
    const link = await cluster.until(network.dial(address, { signal: NEVER }));
    const peer = { id: member.id, role: 'node', host: 'thief', port: 1000, zone: '' } as const;
    const slots = { up: 0, down: 4 };
    link.send(encodePeerMessage({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0, slots }));
    link.send(encodePeerMessage({ type: 'open', handle: 1, digest: key, size: SIZE, pieceBytes: 262_144 }));
    await cluster.run(50);
    const into = new Uint8Array(262_144);
    const range = { start: 0, end: into.length };
    const fetching = network.fetch({ address, from: member.id, digest: key, range }, into, { signal: NEVER });
    await t.rejects(cluster.until(fetching), { code: 'BLOB_UNKNOWN' }, name);
    t.ok(into.every((byte) => byte === 0));
    const refused = (await deps.metrics.refused.get()).values;
    t.match(refused, [{ labels: { reason: 'no-capability' } }], name);
  }
});
