import fc from 'fast-check';
import t from 'tap';
import { HOUR_MS } from '../../lib/security/cluster-authority.ts';
import { createJoinToken } from '../../lib/security/join-token.ts';
import { checkMember } from '../../lib/security/member.ts';
import {
  MAX_REVOKED,
  NOTHING_REVOKED,
  readRevocationList,
  signRevocationList,
} from '../../lib/security/revocation-list.ts';
import { testAuthority, testMember } from './cluster.ts';

const [ours, theirs] = [await testAuthority(), await testAuthority('elsewhere')];
const node = await testMember(ours, 'node', { zone: 'eu-1' });
const nowMs = Date.now();
const wanted = {
  cluster: 'damselfly',
  roles: ['node', 'supernode'] as const,
  revoked: NOTHING_REVOKED,
  nowMs,
};

t.test('a member with the right role may', async (t) => {
  t.same(checkMember(node.certificate, wanted), { kind: 'member', identity: node.identity });
});

t.test('everybody else is refused, and told why', async (t) => {
  const reason = (
    certificate: typeof node.certificate | undefined,
    more: Partial<Parameters<typeof checkMember>[1]> = {},
  ) => {
    const checked = checkMember(certificate, { ...wanted, ...more });
    return checked.kind === 'refused' ? checked.reason : checked.kind;
  };
  const tracker = await testMember(ours, 'tracker');
  const stranger = await testMember(theirs, 'node');
  t.equal(reason(undefined), 'no-certificate');
  t.equal(reason(tracker.certificate), 'wrong-role');
  t.equal(reason(stranger.certificate), 'other-cluster');
  t.equal(reason(node.certificate, { nowMs: nowMs + 25 * HOUR_MS }), 'expired');
  const { name, role } = node.identity;
  const serials = [node.certificate.serialNumber.toLowerCase()];
  t.equal(reason(node.certificate, { revoked: { ...NOTHING_REVOKED, serials } }), 'revoked');
  t.equal(
    reason(node.certificate, { revoked: { ...NOTHING_REVOKED, members: [`${role}/${name}`] } }),
    'revoked',
  );
  t.equal(
    reason(node.certificate, { revoked: { ...NOTHING_REVOKED, members: [`supernode/${name}`] } }),
    'member',
  );
  const { serialNumber, validToDate } = node.certificate;
  for (const subjectAltName of [
    undefined,
    'DNS:host',
    'URI:https://damselfly/node/a',
    'URI:spiffe://damselfly/node/a, URI:spiffe://damselfly/tracker/a',
  ]) {
    const shown = { subjectAltName, serialNumber, validToDate } as typeof node.certificate;
    t.equal(reason(shown), 'no-identity', String(subjectAltName));
  }
});

const list = fc.record({
  number: fc.integer({ min: 1 }),
  serials: fc.array(fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 1, maxLength: 40 })),
  members: fc.array(fc.constantFrom('node/a', 'supernode/b-1', 'tracker/c')),
});

t.test('a revocation list is read back when the authority signed it, and not otherwise', async (t) => {
  fc.assert(
    fc.property(list, fc.nat(), (value, at) => {
      const text = signRevocationList(value, ours.key);
      t.same(readRevocationList(text, ours.publicKey), value);
      t.equal(readRevocationList(text, theirs.publicKey), undefined);
      const cut = at % text.length;
      const bent = text.slice(0, cut) + (text[cut] === 'A' ? 'B' : 'A') + text.slice(cut + 1);
      t.equal(readRevocationList(bent, ours.publicKey), undefined);
    }),
    { numRuns: 100 },
  );
});

t.test('something else that the authority signed is no revocation list', async (t) => {
  const token = createJoinToken(ours, { role: 'node', expiresAtMs: nowMs });
  t.equal(readRevocationList(token, ours.publicKey), undefined);
  t.equal(readRevocationList(token.replace('dfjoin1', 'dfrevoked1'), ours.publicKey), undefined);
  const wrong = { number: 1, serials: ['XYZ'], members: [] };
  t.equal(readRevocationList(signRevocationList(wrong, ours.key), ours.publicKey), undefined);
});

t.test('the longest list fits into a control message', async (t) => {
  const full = {
    number: Number.MAX_SAFE_INTEGER,
    serials: Array.from({ length: MAX_REVOKED }, () => 'f'.repeat(40)),
    members: Array.from({ length: MAX_REVOKED }, () => `supernode/${'a'.repeat(64)}`),
  };
  const text = signRevocationList(full, ours.key);
  t.ok(text.length < 1_000_000, `${text.length} characters`);
  t.same(readRevocationList(text, ours.publicKey), full);
});
