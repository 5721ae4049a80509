import { X509Certificate } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { HOUR_MS } from '../../lib/security/cluster-authority.ts';
import { createCertificateRequest, createMemberKey } from '../../lib/security/enrolment.ts';
import { readJoinToken } from '../../lib/security/join-token.ts';
import { signRevocationList } from '../../lib/security/revocation-list.ts';
import { readRevocations, revoke } from '../../lib/security/system/authority-folder.ts';
import { joinCluster, renewMembership } from '../../lib/security/system/enrolment-client.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { helloOf, startSecureTracker } from './identity-rig.ts';

const NEVER = new AbortController().signal;

t.test('a token makes a member, and its certificate is kept for the next start', async (t) => {
  const { authority, folder, metric, open, token } = await startSecureTracker(t);
  const first = await open({ joinToken: token(), zone: 'eu-1' });
  t.match(first.identity, { cluster: authority.cluster, role: 'node', name: first.id, zone: 'eu-1' });
  const kept = join(folder, 'node', 'identity');
  t.equal(statSync(join(kept, 'member.key')).mode & 0o777, 0o600);
  t.equal(statSync(kept).mode & 0o077, 0, 'nobody else may look into the folder');
  const again = await open({});
  t.equal(again.id, first.id);
  t.equal(again.keys.cert, first.keys.cert, 'without a token, and without asking again');
  t.equal(await metric('damselfly_tracker_certificates_total'), '1');
});

t.test('without a token there is no way in, and the message says how', async (t) => {
  const { open } = await startSecureTracker(t);
  await t.rejects(open({}), { code: 'CONFIG_INVALID', message: /damselfly token create --role node/ });
});

t.test('tokens that do not count', async (t) => {
  const { open, token, metric, enroll } = await startSecureTracker(t);
  const other = await startSecureTracker(t, await testAuthority());
  await t.rejects(open({ joinToken: token('node', Date.now() - 60_000) }), {
    code: 'IDENTITY_REFUSED',
    facts: { reason: 'expired' },
  });
  await t.rejects(open({ joinToken: token('supernode') }), {
    code: 'CONFIG_INVALID',
    message: /for a supernode/,
  });
  // The one who joins looks first: nothing was sent to the wrong cluster.
  await t.rejects(open({ joinToken: other.token() }), {
    code: 'IDENTITY_REFUSED',
    facts: { reason: 'other-cluster' },
  });
  t.equal(
    await metric('damselfly_tracker_refused_total{reason="identity"}'),
    '1',
    'only the expired one was shown',
  );
  const request = await createCertificateRequest(createMemberKey('node'));
  const forged = `${token().slice(0, -4)}AAAA`;
  const asked = { token: forged, pinned: readJoinToken(forged), request, zone: '' };
  await t.rejects(joinCluster(enroll, asked, NEVER), {
    code: 'IDENTITY_REFUSED',
    facts: { reason: 'forged' },
  });
});

t.test('the token is never sent to somebody who only shows the right authority', async (t) => {
  const { authority, token } = await startSecureTracker(t);
  const stranger = await testMember(await testAuthority(), 'tracker');
  const node = await testMember(authority, 'node');
  const joinToken = token();
  for (const [who, tls] of Object.entries({ stranger: stranger.tls, node: node.tls })) {
    const bodies: string[] = [];
    const server = createServer({ key: tls.key, cert: tls.cert }, (request, response) => {
      request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
      response.end(authority.certificate);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const request = await createCertificateRequest(createMemberKey('node'));
    const asked = { token: joinToken, pinned: readJoinToken(joinToken), request, zone: '' };
    await t.rejects(joinCluster(base, asked, NEVER), { code: 'TRACKER_UNREACHABLE' }, who);
    t.same(bodies, [], who);
  }
});

t.test('a certificate is renewed by itself before two thirds of its time', async (t) => {
  const { authority, folder, open, token } = await startSecureTracker(t);
  let nowMs = Date.now();
  const member = await open({ joinToken: token(), wallClockMs: () => nowMs });
  const first = member.keys.cert;
  let renewed = 0;
  member.onRenewed(() => renewed++);
  nowMs += 10 * HOUR_MS;
  await member.look();
  t.equal(member.keys.cert, first, 'before half of its time there is no need');
  nowMs += 6.7 * HOUR_MS;
  await member.look();
  t.equal(renewed, 1);
  const next = new X509Certificate(member.keys.cert);
  t.not(next.serialNumber, new X509Certificate(first).serialNumber);
  t.ok(next.verify(authority.publicKey));
  t.same(
    next.publicKey.export({ format: 'jwk' }),
    new X509Certificate(first).publicKey.export({ format: 'jwk' }),
  );
  t.equal(readFileSync(join(folder, 'node', 'identity', 'member.crt'), 'utf8'), member.keys.cert, 'and kept');
});

t.test('while no tracker answers the certificate in use goes on', async (t) => {
  const { open, token, tracker } = await startSecureTracker(t);
  let nowMs = Date.now();
  const member = await open({ joinToken: token(), wallClockMs: () => nowMs });
  const { cert } = member.keys;
  await tracker.close();
  nowMs += 17 * HOUR_MS;
  await member.look();
  t.equal(member.keys.cert, cert);
});

t.test('only the holder of a certificate gets its next one', async (t) => {
  const { authority, enroll } = await startSecureTracker(t);
  const member = await testMember(authority, 'node');
  const request = await createCertificateRequest(createMemberKey('node'));
  const asked = { keys: member.tls, request, zone: '' };
  await t.rejects(renewMembership(enroll, asked, NEVER), {
    code: 'IDENTITY_REFUSED',
    facts: { reason: 'wrong-key' },
  });
  const stranger = await testMember(await testAuthority(), 'node');
  const shown = { keys: { ...stranger.tls, ca: authority.certificate }, request, zone: '' };
  await t.rejects(renewMembership(enroll, shown, NEVER), { code: 'IDENTITY_REFUSED' });
});

t.test('garbage on the public port is answered, and shortly', async (t) => {
  const { enroll, authority } = await startSecureTracker(t);
  const { Agent, fetch: fetchWith } = await import('undici');
  const dispatcher = new Agent({
    connect: { ca: authority.certificate, checkServerIdentity: () => undefined },
  });
  t.teardown(() => dispatcher.close());
  const post = async (path: string, body: string): Promise<number> =>
    (await fetchWith(`${enroll}${path}`, { method: 'POST', body, dispatcher })).status;
  for (const body of [
    '',
    'x',
    '{}',
    '[]',
    'null',
    JSON.stringify({ request: 1, token: 2, zone: 3 }),
    'x'.repeat(20_000),
  ]) {
    t.equal(await post('/v1/enroll', body), 400, body.slice(0, 20));
  }
  const renewal = JSON.stringify({
    request: await createCertificateRequest(createMemberKey('node')),
    zone: '',
  });
  t.equal(await post('/v1/renew', renewal), 403, 'without a certificate');
  t.equal(await (await fetchWith(`${enroll}/v1/ca`, { dispatcher })).text(), authority.certificate);
});

t.test(
  'a member that was revoked is turned away, gets no next certificate, and cannot join again',
  async (t) => {
    const { authority, credentials, control, folder, open, token } = await startSecureTracker(t);
    let nowMs = Date.now();
    const member = await open({ joinToken: token(), wallClockMs: () => nowMs });
    const { cert } = member.keys;
    const peer = { id: member.id, role: 'node', host: '127.0.0.1', port: 1, zone: '' } as const;
    t.equal(await helloOf(t, control, member.keys, peer), 'welcome');
    const list = await revoke(folder, authority, `node/${member.id}`);
    t.match(list, { number: 1, members: [`node/${member.id}`] });
    t.equal(
      await revoke(folder, authority, `node/${member.id}`).then(({ number }) => number),
      1,
      'once is enough',
    );
    credentials.trust({ revocations: (await readRevocations(folder, authority))?.text ?? '' });
    t.not(await helloOf(t, control, member.keys, peer), 'welcome');
    nowMs += 17 * HOUR_MS;
    await member.look();
    t.equal(member.keys.cert, cert);
    rmSync(join(folder, 'node', 'identity', 'member.crt'));
    await t.rejects(open({ joinToken: token() }), { code: 'IDENTITY_REFUSED', facts: { reason: 'revoked' } });
    writeFileSync(join(folder, 'revocations'), signRevocationList(list, (await testAuthority()).key));
    await t.rejects(
      readRevocations(folder, authority),
      { code: 'CONFIG_INVALID' },
      'a list that others signed',
    );
    await t.rejects(revoke(join(folder, 'new'), authority, 'nobody at all'), { code: 'CONFIG_INVALID' });
  },
);
