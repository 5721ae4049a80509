import t, { type Test } from 'tap';
import { createAuthority, steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import type { BlobOrigin } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { NEVER, servedBlob, within } from '../contract/peer-network-parts.ts';

const [ours, theirs] = [await createAuthority('ours'), await createAuthority('theirs')];
const [NODE, OTHER] = ['a'.repeat(40), 'b'.repeat(40)];
const [node, other, tracker, stranger] = [
  await ours.issue(NODE, 'node'),
  await ours.issue(OTHER, 'node'),
  await ours.issue('tracker', 'tracker'),
  await theirs.issue(OTHER, 'node'),
];

const blob = Buffer.from('one piece');

/** What a client with its certificates gets from a server with its own, and what the server's handlers saw of it. */
async function meet(t: Test, server: TlsKeys | undefined, client: TlsKeys | undefined) {
  const strangers: string[] = [];
  const deps = {
    clock: createSystemClock(),
    log: silentLog(),
    onStranger: (reason: string) => void strangers.push(reason),
  };
  const networkOf = (tls: TlsKeys | undefined) =>
    createHttpPeerNetwork(deps, tls === undefined ? {} : { credentials: steadyCredentials(tls) });
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
        t.match(
          link.member,
          server && { id: OTHER, role: 'node', fingerprint: /^[0-9a-f]{64}$/ },
          'who dials is known',
        );
        link.close('seen');
      },
      smallBlobs: async () => {
        asked++;
        return [blob];
      },
    },
  );
  t.teardown(() => Promise.all([near.close(), listener.close(), far.close()]));
  const { address } = listener;
  const range = { start: 0, end: blob.length };
  const into = Buffer.alloc(blob.length);
  const request = { address, from: OTHER, digest: digestOf(blob), range };
  return {
    fetch: () => within(near.fetch(request, into, { signal: NEVER }), 'fetch').then(() => into),
    dial: () => within(near.dial(address, { signal: NEVER }), 'dial'),
    small: (from: string, origin?: BlobOrigin) => {
      const blobs = [{ digest: digestOf(blob), size: blob.length }];
      return within(
        near.fetchSmall({ address, from, blobs, ...(origin && { origin }) }, { signal: NEVER }),
        'small',
      );
    },
    asked: () => asked,
    strangers,
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

await t.test('a member with another role is no peer', async (t) => {
  const asClient = await meet(t, node, tracker);
  await t.rejects(asClient.fetch(), { code: /^PEER_UN/ });
  await t.rejects(asClient.dial(), { code: /^PEER_UN/ });
  t.match(asClient.strangers, ['wrong-role', 'wrong-role']);
  const asServer = await meet(t, tracker, other);
  await t.rejects(asServer.fetch(), { code: 'PEER_UNTRUSTED' });
  await t.rejects(asServer.dial(), { code: 'PEER_UNTRUSTED' });
  t.same([asClient.asked(), asServer.asked()], [0, 0]);
});

await t.test('no member may speak for another', async (t) => {
  const { fetch, small, asked } = await meet(t, other, node);
  await t.rejects(fetch(), { code: 'BLOB_UNKNOWN' });
  t.same(await small(OTHER), [undefined]);
  t.equal(asked(), 0);
  t.same(await small(NODE), [blob]);
});

await t.test("a caller's credentials go to a supernode, never to a node", async (t) => {
  const origin = { upstream: 'registry', repository: 'app', authorization: 'Basic secret' };
  const toNode = await meet(t, node, other);
  await t.rejects(toNode.small(OTHER, origin), { code: 'PEER_UNREACHABLE', message: /no supernode/ });
  t.equal(toNode.asked(), 0);
  const toSupernode = await meet(t, await ours.issue(NODE, 'supernode'), other);
  t.same(await toSupernode.small(OTHER, origin), [blob]);
});
