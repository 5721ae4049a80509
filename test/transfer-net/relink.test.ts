import { createPublicKey } from 'node:crypto';
import t, { type Test } from 'tap';
import type { PeerInfo } from '../../lib/core/node.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { Credentials } from '../../lib/security/credentials.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import type { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { Neighbours } from '../../lib/transfer/peers/neighbours.ts';
import type { Link } from '../../lib/transfer/seams.ts';
import { within } from '../contract/peer-network-parts.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const clock = createSystemClock();
const authority = await testAuthority();

/** A peer with real links, whose certificate is renewed when it is told to look. */
async function start(t: Test) {
  const { identity, tls } = await testMember(authority, 'node');
  const publicKey = createPublicKey(tls.key);
  const deps = { clock, log: silentLog(), wallClockMs: () => Date.now() };
  const credentials = new Credentials(deps, tls, async (now) => ({
    ...now,
    cert: await authority.issue({ identity, publicKey, nowMs: Date.now() }),
  }));
  const network = createHttpPeerNetwork({ clock, log: silentLog() }, { credentials });
  const ups: Neighbour[] = [];
  let next = Promise.withResolvers<void>();
  const late: { accept?: (link: Link) => void } = {};
  const listener = await network.listen(
    { host: '127.0.0.1', port: 0 },
    { link: (link) => late.accept?.(link), piece: () => ({ kind: 'unknown' }) },
  );
  const peer: PeerInfo = { id: credentials.id, role: 'node', ...listener.address, zone: '' };
  const neighbours = new Neighbours(
    {
      ...{ dialer: network, clock, log: silentLog(), metrics: createMetrics({ defaults: false }) },
      hello: () => ({ type: 'hello', protocol: 1, peer, clusterTimeMs: 0, slots: { up: 4, down: 4 } }),
    },
    {
      up: (neighbour) => {
        ups.push(neighbour);
        next.resolve();
        next = Promise.withResolvers();
      },
      down: () => {},
      message: () => {},
    },
  );
  late.accept = (link) => neighbours.accept(link);
  t.teardown(async () => {
    neighbours.close();
    await network.close();
    await listener.close();
    credentials.close();
  });
  return { credentials, neighbours, peer, ups, nextUp: () => next.promise };
}

t.test(
  'a peer with a new certificate shows it on a new link, which takes the place of the old one',
  async (t) => {
    const [near, far] = [await start(t), await start(t)];
    const linked = Promise.all([near.nextUp(), far.nextUp()]);
    near.neighbours.connect(far.peer);
    await within(linked, 'the first link');
    const relinked = Promise.all([near.nextUp(), far.nextUp()]);
    await near.credentials.look();
    await within(relinked, 'the link after the renewal');
    t.equal(far.ups.length, 2);
    t.not(far.ups[0]?.fingerprint, far.ups[1]?.fingerprint, 'the other side sees the new certificate');
    t.same([near.neighbours.all().length, far.neighbours.all().length], [1, 1], 'one link a pair');
    // Whoever did not dial leaves it to who did.
    await far.credentials.look();
    const again = near.nextUp();
    const third = await Promise.race([again.then(() => true), clockPass(2500)]);
    t.notOk(third, 'its certificate is new, and nobody is near an end');
  },
);

async function clockPass(ms: number): Promise<false> {
  return await new Promise((resolve) => void clock.after(ms, () => resolve(false)));
}
