import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { HOUR_MS } from '../../lib/security/cluster-authority.ts';
import { renewAtMs } from '../../lib/security/credentials.ts';
import type { MemberRole } from '../../lib/security/identity.ts';
import { type CredentialsConfig, openCredentials } from '../../lib/security/system/open-credentials.ts';
import { testAuthority, testMember } from './cluster.ts';

const deps = { clock: createSystemClock(), log: silentLog(), wallClockMs: Date.now };
const NOTHING: CredentialsConfig = { insecure: false, enroll: [], tracker: [], zone: '' };
const authority = await testAuthority('north');

function tempFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'damselfly-credentials-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function open(t: Test, config: Partial<CredentialsConfig>, folder: string, role: MemberRole = 'node') {
  const opened = await openCredentials(deps, { ...NOTHING, ...config }, { folder, role });
  t.teardown(() => opened?.close());
  return opened;
}

/** Files as an operator's own authority would leave them. */
function writeFiles(folder: string, { ca, cert, key }: { ca: string; cert: string; key: string }) {
  const files = {
    tlsCa: join(folder, 'ca.pem'),
    tlsCert: join(folder, 'cert.pem'),
    tlsKey: join(folder, 'key.pem'),
  };
  writeFileSync(files.tlsCa, ca);
  writeFileSync(files.tlsCert, cert);
  writeFileSync(files.tlsKey, key);
  return files;
}

t.test('insecure is what the operator said, and nothing else makes it so', async (t) => {
  t.equal(await open(t, { insecure: true }, '/nowhere'), undefined);
});

t.test("certificates of the operator's own authority, and their renewal", async (t) => {
  const folder = tempFolder(t);
  const [member, other] = [await testMember(authority, 'node'), await testMember(authority, 'node')];
  const files = writeFiles(folder, member.tls);
  const credentials = await open(t, files, folder);
  t.same(credentials?.identity, member.identity);
  let renewed = 0;
  credentials?.onRenewed(() => renewed++);
  await credentials?.look();
  t.equal(renewed, 0);
  const { identity } = member;
  const publicKey = createPublicKey(member.tls.key);
  const cert = await authority.issue({ identity, publicKey, nowMs: Date.now() });
  writeFiles(folder, { ...member.tls, cert });
  await credentials?.look();
  t.equal(credentials?.keys.cert, cert);
  writeFiles(folder, other.tls);
  await credentials?.look();
  t.equal(credentials?.keys.cert, cert, 'a certificate for somebody else is not used');
  writeFiles(folder, { ...member.tls, cert: other.tls.cert });
  await credentials?.look();
  t.equal(renewed, 1, 'half-written files neither');
});

t.test('what is refused at start', async (t) => {
  const folder = tempFolder(t);
  const member = await testMember(authority, 'node');
  const files = writeFiles(folder, member.tls);
  const invalid = { code: 'CONFIG_INVALID' };
  await t.rejects(open(t, files, folder, 'supernode'), {
    ...invalid,
    message: /is for a node, this is a supernode/,
  });
  await t.rejects(open(t, { ...files, tlsCa: undefined }, folder), { ...invalid, message: /all three/ });
  await t.rejects(open(t, { ...files, tlsKey: files.tlsCa }, folder), invalid);
  await t.rejects(open(t, { ...files, tlsKey: join(folder, 'none') }, folder), {
    ...invalid,
    message: /no file/,
  });
  await t.rejects(open(t, { joinToken: 'secret' }, folder), { ...invalid, message: /^(?!.*secret)/ });
  await t.rejects(open(t, { discovery: 'dht' }, folder), { ...invalid, message: /token create/ });
});

t.test('without a tracker a process is a cluster of its own, the same at each start', async (t) => {
  const folder = tempFolder(t);
  const [first, again] = [await open(t, {}, folder), await open(t, {}, folder)];
  t.ok(first?.id);
  t.equal(again?.id, first?.id);
  t.equal(String(again?.keys.ca), String(first?.keys.ca));
});

t.test(
  'certificates are due between half and two thirds of their time, each at its own moment',
  async (t) => {
    const nowMs = Date.now();
    const moments = await Promise.all(
      Array.from({ length: 20 }, async () =>
        renewAtMs((await testMember(authority, 'node', { nowMs })).certificate),
      ),
    );
    const [life, fromMs] = [25 * HOUR_MS, nowMs - HOUR_MS];
    for (const atMs of moments) t.ok(atMs >= fromMs + life / 2 - 1000 && atMs < fromMs + (life * 2) / 3);
    t.ok(new Set(moments).size > 15);
    t.ok(new X509Certificate(authority.certificate).validToDate.getTime() > nowMs + 3_600 * 24 * HOUR_MS);
  },
);
