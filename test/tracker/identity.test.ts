import t from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { peerIdOf } from '../../lib/security/identity.ts';
import { testAuthority, testMember } from '../security/cluster.ts';
import { systemClock } from './control-rig.ts';
import { helloOf, startSecureTracker } from './identity-rig.ts';

const peerOf = ({ identity }: Awaited<ReturnType<typeof testMember>>, role = identity.role): PeerInfo => ({
  id: peerIdOf(identity),
  role: role === 'supernode' ? 'supernode' : 'node',
  host: '127.0.0.1',
  port: 1,
  zone: '',
});

t.test('a member is welcome in its own name and role, and in no other', async (t) => {
  const { authority, control, metric } = await startSecureTracker(t);
  const node = await testMember(authority, 'node');
  t.equal(await helloOf(t, control, node.tls, peerOf(node)), 'welcome');
  t.equal(
    await helloOf(t, control, node.tls, { ...peerOf(node), id: 'f'.repeat(40) }),
    1002,
    'an id of another',
  );
  t.equal(await helloOf(t, control, node.tls, peerOf(node, 'supernode')), 1002, 'a role it has not');
  t.equal(await metric('damselfly_tracker_refused_total{reason="identity"}'), '2');
});

t.test('who is no member hears nothing: no certificate, another cluster, expired, a tracker', async (t) => {
  const { authority, control, metric } = await startSecureTracker(t);
  const ca = authority.certificate;
  const stranger = await testMember(await testAuthority(), 'node');
  const expired = await testMember(authority, 'node', { nowMs: Date.now() - 25 * 60 * 60_000 });
  const tracker = await testMember(authority, 'tracker');
  const self = peerOf(stranger);
  t.not(await helloOf(t, control, { ca }, self), 'welcome', 'no certificate');
  t.not(await helloOf(t, control, { ...stranger.tls, ca }, self), 'welcome', 'another cluster');
  t.not(await helloOf(t, control, expired.tls, peerOf(expired)), 'welcome', 'expired');
  t.not(await helloOf(t, control, tracker.tls, peerOf(tracker)), 'welcome', 'a tracker');
  t.equal(await helloOf(t, control.replace('wss', 'ws'), {}, self), 'refused', 'plain');
  t.equal(await metric('damselfly_tracker_control_messages_total'), undefined, 'no message was taken');
  t.ok(Number(await metric('damselfly_tracker_refused_total{reason="identity"}')) >= 4);
  t.equal(await metric('damselfly_insecure'), '0');
});

t.test('a node believes a tracker of its cluster, and nobody else at its address', async (t) => {
  const authority = await testAuthority();
  const right = await startSecureTracker(t, authority);
  const foreign = await startSecureTracker(t);
  const node = await testMember(authority, 'node');
  const reached = async (url: string): Promise<boolean> => {
    const credentials = steadyCredentials(node.tls);
    const deps = { log: silentLog(), clock: systemClock, rng: createRng(3), credentials };
    const discovery = createTrackerDiscovery(deps, { trackers: [url], peer: peerOf(node) });
    t.teardown(() => discovery.close());
    return await new Promise((resolve) => {
      // Long enough for several dials; a tracker that is believed is there after one.
      const timer = setTimeout(() => resolve(false), 1_500);
      discovery.listen({
        neighbours: () => {},
        reachable: (now) => {
          clearTimeout(timer);
          resolve(now);
        },
      });
    });
  };
  t.ok(await reached(right.control));
  t.ok(await reached(right.control.replace('wss', 'ws')), 'TLS whatever the URL says');
  t.notOk(await reached(foreign.control));
});
