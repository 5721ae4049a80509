import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import t from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { SIGNATURE_BYTES } from '../../lib/core/proof.ts';
import { readWarrant, warrantPapers } from '../../lib/security/read-warrant.ts';
import { signRevocationList } from '../../lib/security/revocation-list.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { testAuthority, testMember } from './cluster.ts';

const authority = await testAuthority();
const signaturesOf = (tls: Parameters<typeof steadyCredentials>[0]): Signatures =>
  new Signatures(steadyCredentials(tls));
const member = async (role: 'node' | 'supernode' | 'tracker'): Promise<Signatures> =>
  signaturesOf((await testMember(authority, role)).tls);
const statement = Buffer.from('so it is');

/** A member whose key is of the kind that other authorities issue. */
async function foreign(key: KeyObject): Promise<Signatures> {
  const publicKey = createPublicKey(key);
  const identity = { cluster: authority.cluster, role: 'supernode', name: 'pod-7', zone: 'a' } as const;
  const cert = await authority.issue({ identity, publicKey, nowMs: Date.now() });
  return signaturesOf({
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    cert,
    ca: authority.certificate,
  });
}

t.test('members believe what others of their cluster sign, once they have seen the card', async (t) => {
  const verifier = await member('node');
  const signers = {
    'Ed25519, as enrolment gives it': await member('supernode'),
    'P-256, as other authorities issue': await foreign(
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    ),
  };
  for (const [what, signer] of Object.entries(signers)) {
    const signature = signer.sign(statement);
    t.equal(signature.length, SIGNATURE_BYTES, what);
    t.notOk(verifier.verify(statement, signature), `${what}: nobody knows whose it is`);
    t.match(verifier.learn(signer.card), { id: signer.id, identity: { role: 'supernode' } }, what);
    t.ok(verifier.verify(statement, signature), what);
    t.notOk(verifier.verify(Buffer.from('so it is not'), signature), `${what}: of something else`);
    for (const at of [0, 20, 79]) {
      const changed = Uint8Array.from(signature);
      changed[at] = (changed[at] ?? 0) ^ 1;
      t.notOk(verifier.verify(statement, changed), `${what}: changed at ${at}`);
    }
  }
});

t.test('a card counts only with the authority behind it, and for its own key', async (t) => {
  const verifier = await member('node');
  const stranger = signaturesOf((await testMember(await testAuthority(), 'supernode')).tls);
  t.equal(verifier.learn(stranger.card), undefined, 'of another authority with the same name');
  const otherCluster = signaturesOf((await testMember(await testAuthority('other'), 'supernode')).tls);
  t.equal(verifier.learn(otherCluster.card), undefined, 'of another cluster');
  for (const text of ['', 'dfcard1_', 'dfcard1_e30', `dfcard1_${'A'.repeat(20_000)}`]) {
    t.equal(verifier.learn(text), undefined, JSON.stringify(text.slice(0, 20)));
  }
  const p256 = await foreign(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const card = JSON.parse(Buffer.from(p256.card.slice(8), 'base64url').toString()) as Record<string, unknown>;
  const retold = (changes: object): string =>
    `dfcard1_${Buffer.from(JSON.stringify({ ...card, ...changes })).toString('base64url')}`;
  t.not(verifier.learn(retold({})), undefined, 'as it is');
  const otherKey = Buffer.alloc(32, 7).toString('base64');
  t.equal(verifier.learn(retold({ key: otherKey })), undefined, 'a key that the certificate has not signed');
  t.equal(verifier.learn(retold({ binding: 'AAAA' })), undefined, 'no signature of the certificate');
  t.equal(
    verifier.learn(retold({ chain: [Buffer.from('x').toString('base64')] })),
    undefined,
    'no certificate',
  );
});

t.test('whoever is revoked has signed nothing', async (t) => {
  const credentials = steadyCredentials((await testMember(authority, 'node')).tls);
  const verifier = new Signatures(credentials);
  const { identity, tls } = await testMember(authority, 'supernode');
  const signer = signaturesOf(tls);
  verifier.learn(signer.card);
  const signature = signer.sign(statement);
  t.ok(verifier.verify(statement, signature));
  const list = { number: 1, serials: [], members: [`supernode/${identity.name}`] };
  credentials.trust({ revocations: signRevocationList(list, authority.key) });
  t.notOk(verifier.verify(statement, signature));
  t.equal(verifier.learn(signer.card), undefined);
});

t.test("a warrant is a tracker's word, for one node and one blob", async (t) => {
  const verifier = await member('node');
  const [tracker, node] = [await member('tracker'), await member('node')];
  const warrant = { digest: `sha256:${'a'.repeat(64)}` as Digest, node: 'b'.repeat(40), atMs: 5 };
  const [card = '', text = ''] = warrantPapers(tracker, warrant);
  t.equal(readWarrant(verifier, text), undefined, 'of a tracker that nobody knows');
  verifier.learn(card);
  t.same(readWarrant(verifier, text), { warrant, trackerId: tracker.id });
  t.equal(readWarrant(verifier, `${text.slice(0, -4)}AAAA`), undefined, 'changed');
  const [nodeCard = '', selfMade = ''] = warrantPapers(node, warrant);
  verifier.learn(nodeCard);
  t.equal(readWarrant(verifier, selfMade), undefined, 'of a node');
});
