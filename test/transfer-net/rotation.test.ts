import { createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { ClusterAuthority } from '../../lib/security/cluster-authority.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { mutualTls } from '../../lib/security/system/mutual-tls.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { NEVER, within } from '../contract/peer-network-parts.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const authority = await testAuthority();

/** A member whose certificate is renewed each time it looks. */
async function rotating(from: ClusterAuthority) {
  const { identity, tls } = await testMember(from, 'node');
  const publicKey = createPublicKey(tls.key);
  const deps = { clock: createSystemClock(), log: silentLog(), wallClockMs: () => Date.now() };
  const credentials = new Credentials(deps, tls, async (now) => ({
    ...now,
    cert: await from.issue({ identity, publicKey, nowMs: Date.now() }),
  }));
  t.teardown(() => credentials.close());
  return credentials;
}

const serial = (cert: string | Buffer): string => new X509Certificate(cert).serialNumber;

t.test('certificates rotate during a transfer without one failed request', async (t) => {
  const [server, client] = [await rotating(authority), await rotating(authority)];
  const deps = { clock: createSystemClock(), log: silentLog() };
  const near = createHttpPeerNetwork(deps, { credentials: client });
  const far = createHttpPeerNetwork(deps, { credentials: server });
  const blob = Buffer.alloc(3 * 1024 * 1024, 'x');
  const reading = Promise.withResolvers<void>();
  const rotated = Promise.withResolvers<void>();
  const listener = await far.listen(
    { host: '127.0.0.1', port: 0 },
    {
      link: (link) => link.listen({ message: (bytes) => link.send(bytes), closed: () => {} }),
      piece: () => ({
        kind: 'serve',
        size: blob.length,
        read: async (offset, into) => {
          into.set(blob.subarray(offset, offset + into.length));
          reading.resolve();
          // Everything after the first bytes is sent once both sides have other certificates.
          await rotated.promise;
        },
        idle: () => {},
        done: () => {},
      }),
    },
  );
  t.teardown(() => Promise.all([near.close(), listener.close(), far.close()]));
  const { address } = listener;
  const shown = async (): Promise<string | undefined> => {
    const options = { ...mutualTls(client.keys), checkServerIdentity: () => undefined };
    const socket = connectTls({ ...options, host: address.host, port: address.port });
    await once(socket, 'secureConnect');
    const certificate = socket.getPeerX509Certificate();
    socket.destroy();
    return certificate?.serialNumber;
  };
  const get = async (): Promise<Buffer> => {
    const into = Buffer.alloc(blob.length);
    const range = { start: 0, end: blob.length };
    await within(
      near.fetch({ address, from: client.id, digest: digestOf(blob), range }, into, { signal: NEVER }),
      'get',
    );
    return into;
  };

  const link = await within(near.dial(address, { signal: NEVER }), 'dial');
  const transfer = get();
  await within(reading.promise, 'reading');
  const before = [serial(server.keys.cert), serial(client.keys.cert)];
  t.equal(await shown(), before[0]);
  await Promise.all([server.look(), client.look()]);
  const after = [serial(server.keys.cert), serial(client.keys.cert)];
  t.equal(new Set([...before, ...after]).size, 4, 'all are new');
  rotated.resolve();
  t.ok((await transfer).equals(blob), 'what was under way goes on');
  t.ok((await get()).equals(blob), 'and what comes next');
  t.equal(await shown(), after[0], 'a new connection shows the new certificate');
  const echo = Promise.withResolvers<string>();
  link.listen({ message: (bytes) => echo.resolve(Buffer.from(bytes).toString()), closed: echo.reject });
  link.send(Buffer.from('still here'));
  t.equal(await within(echo.promise, 'echo'), 'still here', 'the link has lasted');
});
