import fc from 'fast-check';
import t from 'tap';
import { MEMBER_ROLES } from '../../lib/security/identity.ts';
import { createJoinToken, readJoinToken, verifyJoinToken } from '../../lib/security/join-token.ts';
import { testAuthority } from './cluster.ts';

const [ours, theirs] = [await testAuthority(), await testAuthority()];
const NOW_MS = 1_800_000_000_000;

const reasonOf = (call: () => unknown): unknown => {
  try {
    call();
  } catch (error) {
    return (error as { facts: { reason?: string } }).facts.reason;
  }
  return undefined;
};

t.test('a token says its role, its end and its cluster', async (t) => {
  for (const role of MEMBER_ROLES) {
    const text = createJoinToken(ours, { role, expiresAtMs: NOW_MS });
    t.match(text, /^dfjoin1_[\w-]+\.[\w-]+$/);
    t.ok(text.length <= 200);
    const read = readJoinToken(text);
    t.match(read, { role, expiresAtMs: NOW_MS, authority: ours.fingerprint });
    t.same(verifyJoinToken(ours, ` ${text}\n`, NOW_MS), read);
  }
  const [a, b] = [0, 1].map(() => createJoinToken(ours, { role: 'node', expiresAtMs: NOW_MS }));
  t.not(readJoinToken(a ?? '').id, readJoinToken(b ?? '').id);
});

t.test('clocks may be thirty seconds apart, not more', async (t) => {
  const text = createJoinToken(ours, { role: 'node', expiresAtMs: NOW_MS });
  t.ok(verifyJoinToken(ours, text, NOW_MS + 30_000));
  t.equal(
    reasonOf(() => verifyJoinToken(ours, text, NOW_MS + 30_001)),
    'expired',
  );
});

t.test('a token of another cluster is refused', async (t) => {
  const text = createJoinToken(theirs, { role: 'node', expiresAtMs: NOW_MS });
  t.equal(
    reasonOf(() => verifyJoinToken(ours, text, NOW_MS)),
    'other-cluster',
  );
});

t.test('no bit of a token can be changed', async (t) => {
  const text = createJoinToken(ours, { role: 'node', expiresAtMs: NOW_MS });
  const [payload = '', signature = ''] = text.slice('dfjoin1_'.length).split('.');
  const parts = [payload, signature].map((part) => Buffer.from(part, 'base64url'));
  const reasons = new Set<unknown>();
  for (const [which, part] of parts.entries()) {
    for (let bit = 0; bit < part.length * 8; bit++) {
      const bent = parts.map((bytes) => Buffer.from(bytes));
      const target = bent[which] as Buffer;
      target[bit >> 3] = (target[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const shown = `dfjoin1_${bent.map((bytes) => bytes.toString('base64url')).join('.')}`;
      const reason = reasonOf(() => verifyJoinToken(ours, shown, NOW_MS));
      reasons.add(reason);
      if (reason === undefined) t.fail(`bit ${bit} of part ${which}`);
    }
  }
  t.same([...reasons].sort(), ['forged', 'malformed', 'other-cluster']);
});

t.test('what is no token is refused and not repeated', async (t) => {
  const text = createJoinToken(ours, { role: 'node', expiresAtMs: NOW_MS });
  const near = fc
    .tuple(fc.nat(text.length), fc.nat(text.length), fc.string({ maxLength: 300 }))
    .map(([from, to, junk]) => text.slice(0, Math.min(from, to)) + junk + text.slice(Math.max(from, to)));
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ maxLength: 400 })), (shown) => {
      fc.pre(shown.trim() !== text);
      t.ok(reasonOf(() => verifyJoinToken(ours, shown, NOW_MS)) !== undefined);
    }),
    { numRuns: 2000 },
  );
  t.throws(() => readJoinToken('dfjoin1_secret.secret'), {
    code: 'CONFIG_INVALID',
    message: /^(?!.*secret)/,
  });
});
