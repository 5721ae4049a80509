import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import t, { type Test } from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { CLOCK_TOLERANCE_MS } from '../../lib/security/cluster-time.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { mutualTls, type TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { createSocketGuard } from '../../lib/security/system/socket-guard.ts';
import { testAuthority, testMember } from './cluster.ts';

const authority = await testAuthority();
const HOUR_MS = 3_600_000;

/** A TLS connection, its accepting side watched by a guard whose time is the test's. */
async function watched(t: Test) {
  const [server, client] = [await testMember(authority, 'supernode'), await testMember(authority, 'node')];
  const clock = new FakeClock();
  const startMs = Date.now();
  const deps = { clock, log: silentLog(), wallClockMs: () => startMs + clock.now() };
  const credentials = new Credentials(deps, server.tls, async () => undefined);
  const cuts: string[] = [];
  const guard = createSocketGuard(credentials, (_socket, reason) => void cuts.push(reason));
  const listener = createServer({ ...mutualTls(server.tls), requestCert: true });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const dial = async (keys: TlsKeys): Promise<{ readonly near: Socket; readonly far: TLSSocket }> => {
    const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>;
    const near = connect({
      ...mutualTls(keys),
      host: '127.0.0.1',
      port,
      checkServerIdentity: () => undefined,
    });
    near.on('error', () => {});
    near.resume();
    const [far] = await accepted;
    t.teardown(() => near.destroy());
    guard.watch(far);
    return { near, far };
  };
  t.teardown(() => {
    guard.close();
    credentials.close();
    listener.close();
  });
  const pass = (ms: number): void => {
    const untilMs = clock.now() + ms;
    while (clock.advanceToNext(untilMs));
  };
  const endMs = client.certificate.validToDate.getTime() - startMs;
  return { client, credentials, cuts, dial, endMs, pass };
}

t.test('a connection ends when the certificate that it began with has ended', async (t) => {
  const { client, cuts, dial, endMs, pass } = await watched(t);
  const { far, near } = await dial(client.tls);
  const closed = once(near, 'close');
  pass(endMs + CLOCK_TOLERANCE_MS - 1000);
  t.notOk(far.destroyed, 'not while clocks may differ by as much');
  pass(3000);
  t.ok(far.destroyed);
  t.same(cuts, ['expired']);
  await closed;
});

t.test('one that began with a younger certificate goes on', async (t) => {
  const { client, cuts, dial, endMs, pass } = await watched(t);
  // Certificates begin an hour before they are issued.
  const later = await testMember(authority, 'node', { nowMs: Date.now() + HOUR_MS / 2 });
  const old = await dial(client.tls);
  const young = await dial(later.tls);
  pass(endMs + CLOCK_TOLERANCE_MS + 3000);
  t.ok(old.far.destroyed);
  t.notOk(young.far.destroyed);
  t.same(cuts, ['expired']);
});

t.test("it is the cluster's time that counts, also when it is set right later", async (t) => {
  const { client, credentials, cuts, dial, endMs, pass } = await watched(t);
  const { far } = await dial(client.tls);
  credentials.time.heard('tracker', credentials.time.nowMs() + endMs + HOUR_MS, credentials.clock.now());
  pass(61_000);
  t.ok(far.destroyed, 'within a minute');
  t.same(cuts, ['expired']);
});

t.test('a connection that has ended is watched no more', async (t) => {
  const { client, cuts, dial, endMs, pass } = await watched(t);
  const { far, near } = await dial(client.tls);
  const closed = once(far, 'close');
  near.destroy();
  await closed;
  pass(endMs + HOUR_MS);
  t.same(cuts, []);
});
