import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createAuthority } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { PeerTls } from '../../lib/transfer/http/peer-tls.ts';
import { NEVER, servedBlob, within } from '../contract/peer-network-parts.ts';

const folder = mkdtempSync(join(tmpdir(), 'damselfly-trust-'));
const [ours, theirs] = [await createAuthority(folder, 'ours'), await createAuthority(folder, 'theirs')];
const [node, other, stranger] = [
  await ours.issue('node'),
  await ours.issue('other'),
  await theirs.issue('stranger'),
];
rmSync(folder, { recursive: true });

const blob = Buffer.from('one piece');

/** What a client with its certificates gets from a server with its own, and what the server's handlers saw of it. */
async function meet(t: Test, server: PeerTls | undefined, client: PeerTls | undefined) {
  const deps = { clock: createSystemClock(), log: silentLog() };
  const networkOf = (tls: PeerTls | undefined) =>
    createHttpPeerNetwork(deps, tls === undefined ? {} : { tls });
  const [near, far] = [networkOf(client), networkOf(server)];
  let asked = 0;
  const listener = await far.listen(
    { host: '127.0.0.1', port: 0 },
    {
      piece: () => {
        asked++;
        return servedBlob(blob);
      },
      link: (link) => {
        asked++;
        link.close('seen');
      },
    },
  );
  t.teardown(() => Promise.all([near.close(), listener.close(), far.close()]));
  const { address } = listener;
  const range = { start: 0, end: blob.length };
  const into = Buffer.alloc(blob.length);
  const request = { address, from: 'a'.repeat(40), digest: digestOf(blob), range };
  return {
    fetch: () => within(near.fetch(request, into, { signal: NEVER }), 'fetch').then(() => into),
    dial: () => within(near.dial(address, { signal: NEVER }), 'dial'),
    asked: () => asked,
  };
}

await t.test('members of one authority trust each other, whatever address they are reached by', async (t) => {
  const { fetch, dial, asked } = await meet(t, node, other);
  t.same(await fetch(), blob);
  await dial();
  t.equal(asked(), 2);
});

await t.test('a server of another authority is refused, with a code that says so', async (t) => {
  const { fetch, dial, asked } = await meet(t, stranger, node);
  const expected = { code: 'PEER_UNTRUSTED', message: /same cluster's authority/ };
  await t.rejects(fetch(), expected);
  await t.rejects(dial(), expected);
  t.equal(asked(), 0);
});

await t.test('a client of another authority gets nothing, even when it trusts the server', async (t) => {
  const { fetch, dial, asked } = await meet(t, node, { ...stranger, ca: node.ca });
  await t.rejects(fetch(), { code: /^PEER_UN/ });
  await t.rejects(dial(), { code: /^PEER_UN/ });
  t.equal(asked(), 0);
});

await t.test('plain and TLS do not mix', async (t) => {
  const plainServer = await meet(t, undefined, node);
  await t.rejects(plainServer.fetch(), { code: 'PEER_UNTRUSTED' });
  await t.rejects(plainServer.dial(), { code: 'PEER_UNTRUSTED' });
  const plainClient = await meet(t, node, undefined);
  await t.rejects(plainClient.fetch(), { code: 'PEER_UNREACHABLE' });
  await t.rejects(plainClient.dial(), { code: 'PEER_UNREACHABLE' });
  t.equal(plainServer.asked() + plainClient.asked(), 0);
});
