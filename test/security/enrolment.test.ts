import { createHash, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import t from 'tap';
import {
  createClusterAuthority,
  HOUR_MS,
  openClusterAuthority,
} from '../../lib/security/cluster-authority.ts';
import {
  createCertificateRequest,
  createMemberKey,
  enrol,
  memberNameOf,
  readCertificateRequest,
} from '../../lib/security/enrolment.ts';
import { MEMBER_ROLES } from '../../lib/security/identity.ts';
import { createJoinToken } from '../../lib/security/join-token.ts';
import { identityOf } from '../../lib/security/member.ts';
import { NOTHING_REVOKED } from '../../lib/security/revocation-list.ts';
import { testAuthority } from './cluster.ts';

const authority = await testAuthority('north');

t.test('a token and a key make a member of the role that the token says', async (t) => {
  for (const role of MEMBER_ROLES) {
    const nowMs = Date.now();
    const key = createMemberKey(role);
    const token = createJoinToken(authority, { role, expiresAtMs: nowMs + HOUR_MS });
    const request = await createCertificateRequest(key);
    const { certificate, identity } = await enrol(
      authority,
      { request, token, zone: 'eu-1', revoked: NOTHING_REVOKED },
      nowMs,
    );
    const name = memberNameOf(createPublicKey(key));
    t.same(identity, { cluster: 'north', role, name, zone: 'eu-1' });
    const made = new X509Certificate(certificate);
    t.same(identityOf(made), identity);
    t.ok(made.checkPrivateKey(key) && made.verify(authority.publicKey) && !made.ca);
    t.ok(made.checkIssued(new X509Certificate(authority.certificate)));
    const second = (date: Date) => Math.floor(date.getTime() / 1000);
    t.equal(second(made.validFromDate), Math.floor((nowMs - HOUR_MS) / 1000), 'an hour back');
    t.equal(second(made.validToDate), Math.floor((nowMs + 24 * HOUR_MS) / 1000), 'a day on');
    t.match(made.serialNumber, /^[4-7][0-9A-F]{31}$/);
  }
});

t.test('a zone that cannot be written is the default one', async (t) => {
  const token = createJoinToken(authority, { role: 'node', expiresAtMs: Date.now() });
  const request = await createCertificateRequest(createMemberKey('node'));
  const { identity } = await enrol(
    authority,
    { request, token, zone: '../tracker', revoked: NOTHING_REVOKED },
    Date.now(),
  );
  t.equal(identity.zone, '');
});

t.test('a request that its own key did not sign is refused, and so is what is none', async (t) => {
  const request = await createCertificateRequest(createMemberKey('node'));
  t.ok(await readCertificateRequest(request));
  const der = Buffer.from(request.replaceAll(/-----.*-----|\s/g, ''), 'base64');
  const pem = (bytes: Buffer) =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  t.ok(await readCertificateRequest(pem(der)), 'the test writes PEM that is read');
  const refused = { code: 'IDENTITY_REFUSED', facts: { reason: 'malformed' } };
  // One bit anywhere: in the names, the key or the signature.
  for (let at = 0; at < der.length; at += 7) {
    const bent = Buffer.from(der);
    bent[at] = (bent[at] ?? 0) ^ 1;
    await t.rejects(readCertificateRequest(pem(bent)), refused, `byte ${at}`);
  }
  for (const text of ['', 'x', pem(Buffer.alloc(0)), pem(der.subarray(0, 40)), request.repeat(20)]) {
    await t.rejects(readCertificateRequest(text), refused);
  }
});

t.test('only P-256 and Ed25519 keys are taken', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
  await t.rejects(createCertificateRequest(privateKey));
});

t.test('an authority is a pair, and of a cluster', async (t) => {
  const pair = await createClusterAuthority({ cluster: 'north', nowMs: Date.now() });
  const other = await createClusterAuthority({ cluster: 'north', nowMs: Date.now() });
  const opened = openClusterAuthority(pair);
  t.equal(opened.cluster, 'north');
  t.same(opened.fingerprint, createHash('sha256').update(new X509Certificate(pair.certificate).raw).digest());
  const invalid = { code: 'CONFIG_INVALID' };
  t.throws(() => openClusterAuthority({ certificate: pair.certificate, key: other.key }), invalid);
  t.throws(() => openClusterAuthority({ certificate: '', key: pair.key }), invalid);
  const key = createMemberKey('node');
  const leaf = await opened.issue({
    identity: { cluster: 'north', role: 'node', name: 'a', zone: '' },
    publicKey: createPublicKey(key),
    nowMs: Date.now(),
  });
  const leafKey = key.export({ type: 'pkcs8', format: 'pem' }) as string;
  t.throws(
    () => openClusterAuthority({ certificate: leaf, key: leafKey }),
    invalid,
    'a member is no authority',
  );
  await t.rejects(createClusterAuthority({ cluster: 'North Pole', nowMs: 0 }), invalid);
});
