import t, { type Test } from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { createCertifiedMembers } from '../../lib/discovery/libp2p/certified-members.ts';
import { clusterKeys } from '../../lib/discovery/libp2p/cluster-keys.ts';
import type { Dht } from '../../lib/discovery/libp2p/dht.ts';
import { createDhtDiscovery } from '../../lib/discovery/libp2p/dht-discovery.ts';
import { openLibp2pDht } from '../../lib/discovery/libp2p/libp2p-dht.ts';
import type { MemberIdentities } from '../../lib/discovery/libp2p/members.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { peerIdOf } from '../../lib/security/identity.ts';
import { NOTHING_REVOKED, signRevocationList } from '../../lib/security/revocation-list.ts';
import { signSettings } from '../../lib/security/signed-settings.ts';
import { turnsAmong } from '../../lib/swarm/sites.ts';
import { within } from '../contract/peer-network-parts.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

type TestMember = Awaited<ReturnType<typeof testMember>>;

const deps = { log: silentLog(), clock: createSystemClock(), rng: createSystemRng() };
const keys = clusterKeys('a key that strangers know too');

function peerOf({ identity }: TestMember, role: PeerInfo['role']): PeerInfo {
  return { id: peerIdOf(identity), role, host: '127.0.0.1', port: 1, zone: '' };
}

function identitiesOf(t: Test, member: TestMember) {
  const credentials = steadyCredentials(member.tls);
  t.teardown(() => credentials.close());
  const refused: string[] = [];
  const onStranger = (reason: string): void => void refused.push(reason);
  return { credentials, refused, identities: createCertifiedMembers({ ...deps, credentials, onStranger }) };
}

t.test(
  'a member is believed to be what its certificate says, under the peer id that it says it of',
  async (t) => {
    const authority = await testAuthority();
    const own = identitiesOf(t, await testMember(authority, 'node'));
    const node = await testMember(authority, 'node');
    const supernode = await testMember(authority, 'supernode');
    const tracker = await testMember(authority, 'tracker');
    const foreign = await testMember(await testAuthority(), 'node');
    const gone = await testMember(authority, 'node');
    const old = await testMember(authority, 'node', { nowMs: Date.now() - 25 * 60 * 60_000 });
    own.credentials.trust({
      revocations: signRevocationList(
        { ...NOTHING_REVOKED, number: 1, members: [`node/${gone.identity.name}`] },
        authority.key,
      ),
    });
    const believed = (speaker: TestMember, peer: PeerInfo, member = 'peer1', said = 'peer1'): string => {
      const proof = identitiesOf(t, speaker).identities.prove(said);
      return own.identities.believes(member, peer, proof) ? 'believed' : (own.refused.pop() ?? '');
    };
    t.equal(believed(node, peerOf(node, 'node')), 'believed');
    t.equal(believed(supernode, peerOf(supernode, 'supernode')), 'believed');
    t.equal(believed(node, peerOf(node, 'supernode')), 'wrong-role', 'a node that claims to own blobs');
    t.equal(believed(node, peerOf(supernode, 'node')), 'other-name');
    t.equal(believed(node, peerOf(node, 'node'), 'peer2'), 'forged', 'a proof that somebody else has shown');
    t.equal(believed(tracker, peerOf(tracker, 'node')), 'wrong-role');
    t.equal(believed(foreign, peerOf(foreign, 'node')), 'other-cluster');
    t.equal(believed(gone, peerOf(gone, 'node')), 'revoked');
    t.equal(believed(old, peerOf(old, 'node')), 'expired');
    t.notOk(own.identities.believes('peer1', peerOf(node, 'node'), undefined));
    t.equal(own.refused.pop(), 'no-certificate');
    const forged = { certificate: 'x', signature: 'y' };
    t.notOk(own.identities.believes('peer1', peerOf(node, 'node'), forged));

    const pause = { atMs: Date.now(), paused: ['all'] };
    const setBy = (member: TestMember) => signSettings(identitiesOf(t, member).credentials, pause);
    t.ok(own.identities.obeys(setBy(tracker)));
    t.notOk(own.identities.obeys(setBy(supernode)), 'only a tracker sets anything for all');
    t.notOk(own.identities.obeys(pause));
  },
);

t.test('who knows the cluster key and has no certificate meets nobody', { timeout: 60_000 }, async (t) => {
  const authority = await testAuthority();
  const foreign = await testAuthority();
  const doors: Dht[] = [];
  const digest = digestOf(Buffer.from('a layer'));
  const join = async (
    member: TestMember,
    role: PeerInfo['role'],
    identities: MemberIdentities | undefined,
  ) => {
    const opened = Promise.withResolvers<Dht>();
    const sought: string[] = [];
    const named = new Set<string>();
    const seeds = doors.map((_, port) => ({ host: '127.0.0.1', port: port + 1 }));
    const discovery = createDhtDiscovery(
      {
        ...{ ...deps, keys, identities, seeds: () => seeds },
        metrics: {
          members: () => {},
          records: () => {},
          published: () => {},
          sought: (how) => void sought.push(how),
        },
        locate: async ({ port }) => (doors[port - 1] as Dht).door,
        open: async (listener) => {
          const listen = { host: '127.0.0.1', port: 0 };
          opened.resolve(
            await openLibp2pDht(deps, { keys, listen, lan: false, maxConnections: 50 }, listener),
          );
          return await opened.promise;
        },
      },
      { peer: peerOf(member, role), turns: turnsAmong(peerOf(member, role)) },
    );
    t.teardown(() => discovery.close());
    const met = new Promise<void>((resolve) => {
      discovery.listen({
        neighbours: (_, peers) => {
          for (const { id } of peers) named.add(id);
        },
        reachable: (now) => now && resolve(),
      });
    });
    doors.push(await opened.promise);
    return { discovery, met, named, sought };
  };
  const first = await testMember(authority, 'node');
  const one = identitiesOf(t, first);
  const inside = await join(first, 'node', one.identities);
  inside.discovery.announce([{ digest, size: 7, have: 'all' }]);
  const intruder = await testMember(foreign, 'node');
  const outside = await join(intruder, 'node', undefined);
  outside.discovery.announce([{ digest, size: 7, have: 'none' }]);
  const pretender = await testMember(foreign, 'supernode');
  await join(pretender, 'supernode', undefined);
  const second = await testMember(authority, 'supernode');
  const two = identitiesOf(t, second);
  const owner = await join(second, 'supernode', two.identities);
  await within(Promise.all([inside.met, owner.met]), 'members meet');
  const knocked = async (): Promise<void> => {
    while (!one.refused.includes('no-certificate')) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await within(knocked(), 'the stranger is refused');
  t.same(
    inside.discovery.supernodes.map(({ id }) => id),
    [peerIdOf(second.identity)],
    'the stranger owns no blob',
  );
  const searched = async (): Promise<void> => {
    while (outside.sought.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await within(searched(), 'the stranger has looked for a blob');
  t.same(outside.sought, ['nobody']);
  t.notOk(outside.named.has(peerIdOf(first.identity)), 'it is not told who has it');
  const late = await testMember(authority, 'node');
  const friend = await join(late, 'node', identitiesOf(t, late).identities);
  friend.discovery.announce([{ digest, size: 7, have: 'none' }]);
  const found = async (): Promise<void> => {
    while (!friend.named.has(peerIdOf(first.identity))) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await within(found(), 'a member is told who has it');
});
