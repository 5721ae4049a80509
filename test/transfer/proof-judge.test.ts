import t from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf, pieceHash } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { type PieceProof, proofStatement } from '../../lib/core/proof.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { warrantPapers } from '../../lib/security/read-warrant.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { ProofJudge } from '../../lib/transfer/proofs/proof-judge.ts';
import { ToldProofs } from '../../lib/transfer/proofs/told-proofs.ts';
import { OneRead, Vouching } from '../../lib/transfer/proofs/vouching.ts';
import type { Evidence } from '../../lib/wire/peer-messages.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const authority = await testAuthority();
const PIECE_BYTES = 256 * 1024;
const bytes = new Uint8Array(4 * PIECE_BYTES).fill(3);
const info = blobInfo(digestOf(bytes), bytes.length, PIECE_BYTES);
const otherInfo = blobInfo(digestOf(bytes.subarray(1)), bytes.length, PIECE_BYTES);
const [right, wrong, wronger] = ['right', 'wrong', 'wronger'].map((text) => pieceHash(Buffer.from(text))) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

async function member(role: 'node' | 'supernode' | 'tracker') {
  const { identity, tls } = await testMember(authority, role);
  const signatures = new Signatures(steadyCredentials(tls));
  const vouching = new Vouching(signatures, { warrantsGiven: () => true });
  const sign = (hash: Uint8Array, index = 0, generation = '1'.padStart(16, '0'), of = info): PieceProof =>
    vouching.sign(of, { index, hash, generation });
  return { id: identity.name, role, signatures, vouching, sign };
}
type Signing = Awaited<ReturnType<typeof member>>;

/** A process that judges, with the cards of these members. */
async function judgeOf(known: readonly Signing[], rightProofs: ReadonlyMap<number, Uint8Array> = new Map()) {
  const { vouching } = await member('node');
  for (const { signatures } of known) vouching.hear(signatures.card);
  const banned: [id: string, reason: string][] = [];
  const told: Evidence[] = [];
  const metrics = createMetrics({ defaults: false });
  const judge = new ProofJudge(
    { vouching, log: silentLog(), metrics },
    {
      ban: (id, reason) => void banned.push([id, reason]),
      tell: (evidence) => void told.push(evidence),
      rightProof: (_, index) => {
        const hash = rightProofs.get(index);
        return hash && { index, hash, generation: '0'.repeat(16), signature: new Uint8Array() };
      },
    },
  );
  return { banned, judge, told, vouching };
}

const proofOf =
  (hash: Uint8Array) =>
  (index: number): PieceProof => ({
    index,
    hash,
    generation: '9'.repeat(16),
    signature: new Uint8Array(),
  });

t.test(
  'supernodes and holders of leases are believed from anybody, other nodes from themselves',
  async (t) => {
    const [supernode, node, tracker] = [
      await member('supernode'),
      await member('node'),
      await member('tracker'),
    ];
    const { judge, vouching } = await judgeOf([supernode, node, tracker]);
    const somebody = 'e'.repeat(40);
    t.equal(judge.standing(supernode.sign(right), info.digest, somebody), 'supernode');
    t.equal(judge.standing(node.sign(right), info.digest, somebody), undefined, 'a node that has no lease');
    t.equal(judge.standing(node.sign(right), info.digest, node.id), 'own-word');
    t.equal(
      judge.standing(tracker.sign(right), info.digest, tracker.id),
      undefined,
      'a tracker reads nothing',
    );
    const warrant = { digest: info.digest, node: node.id, atMs: 0 };
    for (const paper of warrantPapers(tracker.signatures, warrant)) vouching.hear(paper);
    t.equal(judge.standing(node.sign(right), info.digest, somebody), 'reader');
    t.equal(judge.standing(node.sign(right), otherInfo.digest, somebody), undefined, 'of another blob');
    const unknown = await member('supernode');
    t.equal(
      judge.standing(unknown.sign(right), info.digest, unknown.id),
      undefined,
      'whose card nobody has shown',
    );
    t.equal(judge.standing(proofOf(right)(0), info.digest, supernode.id), undefined, 'without a signature');
  },
);

t.test('two signatures for one piece of one read are evidence, for whoever is shown them', async (t) => {
  const liar = await member('supernode');
  const { banned, judge, told } = await judgeOf([liar]);
  const [a, b] = [liar.sign(right), liar.sign(wrong)];
  judge.compare(info, a, a);
  judge.compare(info, a, liar.sign(wrong, 0, '2'.padStart(16, '0')));
  judge.compare(info, a, liar.sign(wrong, 1));
  t.same(banned, [], 'nor is another read a lie, or another piece');
  judge.compare(info, a, b);
  t.same(banned, [[liar.id, 'contradiction']]);
  t.equal(judge.standing(a, info.digest, liar.id), undefined, 'nothing that it signs counts');
  const [evidence] = told as [Evidence];
  const other = await judgeOf([liar]);
  other.judge.hear(evidence, 'f'.repeat(40));
  t.same(other.banned, [[liar.id, 'contradiction']], 'others find the same');
  t.equal(other.told.length, 1, 'and pass it on');
  other.judge.hear(evidence, 'f'.repeat(40));
  t.equal(other.told.length, 1, 'once');
});

t.test('who cannot sign for others cannot accuse them', async (t) => {
  const [honest, liar] = [await member('supernode'), await member('node')];
  const signed = honest.sign(right);
  const invented = { ...signed, hash: wrong };
  const { banned, judge, told } = await judgeOf([honest, liar], new Map([[0, right]]));
  judge.compare(info, signed, invented);
  t.same(banned, []);
  judge.hear({ ...info, proofs: [signed, invented] }, liar.id);
  t.same(banned, [[liar.id, 'forged-proof']], 'whoever shows it is to blame');
  judge.hear(
    { ...info, proofs: [honest.sign(right, 0), honest.sign(right, 0, '2'.padStart(16, '0'))] },
    liar.id,
  );
  judge.hear({ ...otherInfo, proofs: [signed] }, liar.id);
  t.notOk(banned.some(([id]) => id === honest.id));
  t.same(told, []);
});

t.test('a strike needs bytes that matched the digest, and a ban two reads that were wrong', async (t) => {
  const supernode = await member('supernode');
  const { banned, judge, told } = await judgeOf([supernode]);
  judge.doubt(info, [supernode.sign(wrong, 0), supernode.sign(right, 1), supernode.sign(wrong, 2)]);
  t.same(told, [], 'it is not known yet what is right');
  judge.settle(info, proofOf(right));
  t.equal(told.length, 1, 'one strike for one read, however many of its pieces');
  t.same(banned, []);
  judge.doubt(info, [supernode.sign(wrong, 3)]);
  judge.settle(info, proofOf(right));
  t.same(banned, [], 'the same read');
  judge.doubt(otherInfo, [supernode.sign(wrong, 0, '3'.padStart(16, '0'), otherInfo)]);
  judge.settle(otherInfo, proofOf(right));
  t.same(banned, [[supernode.id, 'wrong-reads']]);
});

t.test('a strike is found by others too, when they have the blob', async (t) => {
  const supernode = await member('supernode');
  const has = await judgeOf([supernode], new Map([[0, right]]));
  const hasNot = await judgeOf([supernode]);
  for (const [at, generation] of ['1', '2'].map((text) => text.padStart(16, '0')).entries()) {
    for (const { judge } of [has, hasNot]) {
      judge.hear({ ...info, proofs: [supernode.sign(wrong, 0, generation)] }, 'f');
    }
    t.equal(has.banned.length, at);
  }
  t.same(hasNot.banned, [], 'who cannot check it believes nothing');
});

t.test('of proofs told by several the one that is signed is used, and who forges is banned', async (t) => {
  const supernode = await member('supernode');
  const { banned, judge } = await judgeOf([supernode]);
  const told = new ToldProofs(info, judge);
  const signed = supernode.sign(right);
  const signature = Uint8Array.from(signed.signature);
  signature[70] = (signature[70] ?? 0) ^ 1;
  const [forger, twister, honest] = ['c', 'd', 'e'].map((letter) => ({
    id: letter.repeat(40),
    role: 'node' as const,
  }));
  told.note({ ...signed, signature }, forger!);
  t.ok(told.note(signed, honest!));
  t.same(told.trusted(0), signed, 'a forged signature over the right hash hides nothing');
  t.same(banned, [[forger!.id, 'forged-proof']]);
  t.notOk(told.note({ ...signed, hash: wronger }, twister!));
  t.same(banned[1], [twister!.id, 'forged-proof']);
  t.same(told.trusted(0), signed);
});

t.test(
  "of two reads that differ the supernode's goes before a node's, in whatever order they come",
  async (t) => {
    const [supernode, node] = [await member('supernode'), await member('node')];
    for (const order of [0, 1]) {
      const { judge } = await judgeOf([supernode, node]);
      const told = new ToldProofs(info, judge);
      const said = [
        () => told.note(supernode.sign(right), { id: supernode.id, role: 'supernode' }),
        () => told.note(node.sign(wrong), { id: node.id, role: 'node' }),
      ];
      for (const say of order === 0 ? said : said.reverse()) say();
      t.same(told.trusted(0)?.hash, right);
    }
  },
);

t.test('one read never signs two hashes of one piece', async (t) => {
  const supernode = await member('supernode');
  const read = new OneRead({ rng: createRng(1), vouching: supernode.vouching }, info);
  const [a, b, c] = [read.proof(0, right), read.proof(1, right), read.proof(0, wrong)];
  t.equal(a.generation, b.generation);
  t.not(a.generation, c.generation);
  t.ok(supernode.signatures.verify(proofStatement(info, c), c.signature));
});
