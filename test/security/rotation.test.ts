import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { bundleOf } from '../../lib/security/cluster-authority.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { createJoinToken, verifyJoinToken } from '../../lib/security/join-token.ts';
import { NOTHING_REVOKED, signRevocationList } from '../../lib/security/revocation-list.ts';
import { believedDuring, certificatesIn, readRotation, signRotation } from '../../lib/security/rotation.ts';
import {
  initAuthority,
  readAuthority,
  readRevocations,
  requireAuthority,
  revoke,
  rotateAuthority,
} from '../../lib/security/system/authority-folder.ts';
import { keysFromAuthority } from '../../lib/security/system/credential-sources.ts';
import { testAuthority, testMember } from './cluster.ts';

const START_MS = Date.now();
const OVERLAP_MS = 60_000;

function tempFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-rotation-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function rotating(t: Test) {
  const folder = tempFolder(t);
  const time = { nowMs: START_MS };
  const old = await initAuthority(folder, { cluster: 'damselfly', nowMs: START_MS });
  await revoke(folder, old, 'node/gone');
  const next = await rotateAuthority(folder, { nowMs: START_MS, overlapMs: OVERLAP_MS });
  const authority = await requireAuthority(folder, () => time.nowMs);
  return { folder, time, old, next, authority };
}

t.test('first the old one issues and both count, then the new one, then it alone', async (t) => {
  const { authority, folder, next, old, time } = await rotating(t);
  const state = () => [authority.certificate, bundleOf(authority), authority.rotation !== undefined];
  const [a, b] = [old.certificate, next.authority.certificate];
  const token = createJoinToken(authority, { role: 'node', expiresAtMs: START_MS + 10 * OVERLAP_MS });
  t.same(state(), [a, a + b, true]);
  time.nowMs += OVERLAP_MS;
  t.same(state(), [b, b + a, true]);
  t.equal(verifyJoinToken(authority, token, time.nowMs).role, 'node', 'a token of the old one counts');
  t.match((await readRevocations(folder, authority))?.list, { members: ['node/gone'] });
  await t.rejects(rotateAuthority(folder, { nowMs: time.nowMs, overlapMs: OVERLAP_MS }), {
    code: 'CONFIG_INVALID',
    message: /being replaced already/,
  });
  time.nowMs += OVERLAP_MS;
  t.same(state(), [b, b, false]);
  t.throws(() => verifyJoinToken(authority, token, time.nowMs), { code: 'IDENTITY_REFUSED' });
  t.match(
    (await readRevocations(folder, authority))?.list,
    { members: ['node/gone'] },
    'what is revoked stays so',
  );

  const third = await rotateAuthority(folder, { nowMs: time.nowMs, overlapMs: OVERLAP_MS });
  t.equal(readFileSync(join(folder, 'ca.crt'), 'utf8'), b, 'the second takes the place of the first');
  const again = await requireAuthority(folder, () => time.nowMs);
  t.equal(bundleOf(again), b + third.authority.certificate);
  t.match((await readRevocations(folder, again))?.list, { members: ['node/gone'] });
});

t.test('a folder in the middle of a step can be read; one with a part missing says so', async (t) => {
  const { folder, next, time } = await rotating(t);
  time.nowMs += 2 * OVERLAP_MS;
  copyFileSync(join(folder, 'next.key'), join(folder, 'ca.key'));
  t.equal(
    (await readAuthority(folder))?.current.certificate,
    next.authority.certificate,
    'the key alone is moved',
  );
  copyFileSync(join(folder, 'next.crt'), join(folder, 'ca.crt'));
  t.equal((await readAuthority(folder))?.current.certificate, next.authority.certificate, 'both are');
  const other = await rotating(t);
  rmSync(join(other.folder, 'next.crt'));
  await t.rejects(readAuthority(other.folder), { code: 'CONFIG_INVALID', message: /put back the files/ });
  const third = await rotating(t);
  writeFileSync(join(third.folder, 'rotation'), `${next.text}\n`);
  await t.rejects(readAuthority(third.folder), { code: 'CONFIG_INVALID' });
});

t.test('a rotation that somebody else has signed, or that is none, is not believed', async (t) => {
  const { next, old } = await rotating(t);
  const stranger = await testAuthority();
  const { rotation, text } = next;
  t.same(readRotation(text, [old.certificate]), rotation);
  t.equal(readRotation(text, [stranger.certificate]), undefined, 'of another cluster');
  t.equal(readRotation(signRotation(rotation, stranger.key), [old.certificate]), undefined);
  const elsewhere = await testAuthority('elsewhere');
  const moved = signRotation({ ...rotation, next: elsewhere.certificate }, old.key);
  t.equal(readRotation(moved, [old.certificate]), undefined, 'to another cluster');
  const member = await testMember(old, 'node');
  const leaf = signRotation({ ...rotation, next: member.tls.cert }, old.key);
  t.equal(readRotation(leaf, [old.certificate]), undefined, 'to one who is no authority');
  const back = signRotation({ ...rotation, dropAtMs: rotation.issueAtMs - 1 }, old.key);
  t.equal(readRotation(back, [old.certificate]), undefined);
  t.equal(readRotation('x'.repeat(20_000), [old.certificate]), undefined);
  t.same(believedDuring([stranger.certificate], rotation, START_MS), [stranger.certificate]);
});

t.test('a member believes both, asks for a new certificate when it is time, and drops the old', async (t) => {
  const { authority, next, old, time } = await rotating(t);
  const stranger = await testAuthority();
  const clock = new FakeClock();
  const deps = { clock, log: silentLog(), wallClockMs: () => time.nowMs };
  const member = await testMember(old, 'node', { nowMs: START_MS });
  const source = await keysFromAuthority(authority, { role: 'node', zone: '' }, () => time.nowMs);
  const kept: unknown[] = [];
  const asked: boolean[] = [];
  const credentials = new Credentials(
    deps,
    { ...source.keys, ca: old.certificate },
    async (now, signal, outdated) => {
      asked.push(outdated);
      return outdated ? await source.next(now, signal, outdated) : undefined;
    },
    { kept: {}, keep: (news) => void kept.push(news) },
  );
  t.teardown(() => credentials.close());
  const ca = (): readonly string[] => certificatesIn(credentials.keys.ca);
  const [a, b] = [old.certificate, next.authority.certificate];
  let renewals = 0;
  credentials.onRenewed(() => renewals++);

  const foreign = await rotating(t);
  credentials.trust({ rotation: foreign.next.text });
  t.same(ca(), [a], 'what our authority has not signed changes nothing');
  credentials.trust({
    rotation: next.text,
    revocations: signRevocationList({ ...NOTHING_REVOKED, number: 7 }, next.authority.key),
  });
  t.same(new Set(ca()), new Set([a, b]));
  t.equal(credentials.revoked.number, 7, 'a list of the new one counts');
  t.match(kept, [{ rotation: next.text }]);
  credentials.trust({
    revocations: signRevocationList({ ...NOTHING_REVOKED, number: 6 }, next.authority.key),
  });
  t.equal(credentials.revoked.number, 7, 'an older one does not');
  credentials.trust({ revocations: signRevocationList({ ...NOTHING_REVOKED, number: 8 }, stranger.key) });
  t.equal(credentials.revoked.number, 7, 'nor that of a stranger');
  await credentials.look();
  t.notOk(asked.includes(true), 'no certificate is asked for before the new one issues');

  time.nowMs += OVERLAP_MS * 1.5;
  await credentials.look();
  t.ok(asked.at(-1), 'halfway to the end everybody has asked');
  t.ok(new X509Certificate(credentials.keys.cert).verify(next.authority.publicKey));
  t.equal(credentials.check(member.certificate, ['node']).kind, 'member');
  time.nowMs += OVERLAP_MS;
  const before = renewals;
  await credentials.look();
  t.same(ca(), [b]);
  t.equal(renewals, before + 1, 'whoever has a server with them is told');
  t.equal(credentials.news.rotation, undefined, 'there is nothing to tell any more');
});
