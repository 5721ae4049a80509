import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import { NOTHING_REVOKED, signRevocationList } from '../../lib/security/revocation-list.ts';
import {
  initAuthority,
  requireAuthority,
  revoke,
  rotateAuthority,
} from '../../lib/security/system/authority-folder.ts';
import { createHttpPeerNetwork } from '../../lib/transfer/http/http-peer-network.ts';
import { followAuthority, followTrackers } from '../../tracker/follow-authority.ts';
import { NEVER, servedBlob, within } from '../contract/peer-network-parts.ts';
import { anyPort, systemClock } from './control-rig.ts';
import { helloOf, startSecureTracker } from './identity-rig.ts';

const MINUTE_MS = 60_000;
const blob = Buffer.from('one piece');

/** Connects a member to its tracker; resolves when the tracker has greeted it. */
async function connect(t: Test, control: string, credentials: Credentials): Promise<void> {
  const deps = { log: silentLog(), clock: systemClock, rng: createRng(3), credentials };
  const peer = { id: credentials.id, role: 'node', host: '127.0.0.1', port: 1, zone: '' } as const;
  const discovery = createTrackerDiscovery(deps, { trackers: [control], peer });
  t.teardown(() => discovery.close());
  await within(
    new Promise<void>((resolve) => {
      discovery.listen({ neighbours: () => {}, reachable: (now) => now && resolve() });
    }),
    'greeted',
  );
}

/** The next time that the member is told something by its authority. */
const told = (credentials: Credentials): Promise<void> =>
  within(
    new Promise<void>((resolve) => {
      const forget = credentials.onTrust(() => {
        forget();
        resolve();
      });
    }),
    'told',
  );

t.test('a revocation reaches all members, who cut what is open and take no more', async (t) => {
  const { authority, control, credentials, metric, open, token } = await startSecureTracker(t);
  const near = await open({ joinToken: token(), name: 'near' });
  const far = await open({ joinToken: token(), name: 'far' });
  const third = await open({ joinToken: token(), name: 'third' });
  for (const member of [near, far, third]) await connect(t, control, member);

  const strangers: string[] = [];
  const deps = {
    clock: systemClock,
    log: silentLog(),
    onStranger: (reason: string) => void strangers.push(reason),
  };
  const [nearNetwork, farNetwork, thirdNetwork] = [near, far, third].map((each) =>
    createHttpPeerNetwork(deps, { credentials: each }),
  ) as [
    ReturnType<typeof createHttpPeerNetwork>,
    ReturnType<typeof createHttpPeerNetwork>,
    ReturnType<typeof createHttpPeerNetwork>,
  ];
  let served = 0;
  const listener = await farNetwork.listen(anyPort, {
    piece: () => {
      served++;
      return servedBlob(blob);
    },
    link: (link) => link.listen({ message: () => {}, closed: () => {} }),
  });
  t.teardown(() => Promise.all([nearNetwork, farNetwork, thirdNetwork].map((each) => each.close())));
  t.teardown(() => listener.close());
  const fetchAs = async (network: typeof nearNetwork, from: string): Promise<Buffer> => {
    const into = Buffer.alloc(blob.length);
    const range = { start: 0, end: blob.length };
    const request = { address: listener.address, from, digest: digestOf(blob), range };
    await within(network.fetch(request, into, { signal: NEVER }), 'fetch');
    return into;
  };
  const link = await within(nearNetwork.dial(listener.address, { signal: NEVER }), 'dial');
  const cut = new Promise<void>((resolve) => link.listen({ message: () => {}, closed: () => resolve() }));
  t.same(await fetchAs(nearNetwork, near.id), blob, 'before');
  t.same(await fetchAs(thirdNetwork, third.id), blob);

  const list = { ...NOTHING_REVOKED, number: 1, members: [`node/${near.id}`] };
  const farHears = told(far);
  credentials.trust({ revocations: signRevocationList(list, authority.key) });
  await farHears;
  await within(cut, 'the link is cut');
  t.ok(strangers.includes('revoked'));
  const before = served;
  await t.rejects(fetchAs(nearNetwork, near.id), { code: /^PEER_UN/ });
  t.equal(served, before, 'not one question is answered');
  t.same(await fetchAs(thirdNetwork, third.id), blob, 'the others go on');
  t.not(
    await helloOf(t, control, near.keys, { id: near.id, role: 'node', host: '', port: 1, zone: '' }),
    'welcome',
    'the tracker has cut it too, and takes it back no more',
  );
  t.ok(Number(await metric('damselfly_tracker_refused_total{reason="identity"}')) >= 2);
  far.close();
  const again = await open({ name: 'far' });
  t.same(again.revoked.members, list.members, 'kept for the next start');

  const late = await open({ joinToken: token(), name: 'late' });
  const lateHears = told(late);
  await connect(t, control, late);
  await lateHears;
  t.same(late.revoked.members, list.members, 'who comes later is told at once');
});

t.test('the time of the cluster is that of its tracker, 10 minutes away from ours', async (t) => {
  for (const aheadMs of [10 * MINUTE_MS, -10 * MINUTE_MS]) {
    const wallClockMs = (): number => Date.now() + aheadMs;
    const { control, open, token } = await startSecureTracker(t, undefined, { wallClockMs });
    const member = await open({ joinToken: token('node', Date.now() + 20 * MINUTE_MS), name: 'node' });
    t.ok(Math.abs(member.time.nowMs() - Date.now()) < MINUTE_MS, 'before the tracker has said so');
    await connect(t, control, member);
    t.ok(Math.abs(member.time.nowMs() - wallClockMs()) < 5_000, 'from its greeting on');
    t.equal(member.check(undefined, ['node']).kind, 'refused');
  }
});

t.test(
  'what is done in the folder of the authority is in force at trackers, with and without it',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'damselfly-authority-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    await initAuthority(folder, { cluster: 'damselfly', nowMs: Date.now() });
    const authority = await requireAuthority(folder, Date.now);
    const { credentials, enroll, open, token } = await startSecureTracker(t, authority);
    const deps = { clock: systemClock, log: silentLog() };
    // A tracker of a machine that holds no authority: a member like all others.
    const other = await open({ joinToken: token('tracker'), role: 'tracker', name: 'other' });
    await revoke(folder, authority, 'node/gone');
    await rotateAuthority(folder, { nowMs: Date.now(), overlapMs: 60_000 });
    const bothHear = Promise.all([told(credentials), told(other)]);
    t.teardown(followAuthority(deps, { authority, caDir: folder, credentials }));
    const hears = told(credentials);
    await hears;
    t.teardown(followTrackers(deps, { credentials: other, enroll: [enroll] }));
    await bothHear;
    for (const each of [credentials, other]) {
      t.same(each.revoked.members, ['node/gone']);
      t.match(each.news, { rotation: /^dfrotation1_/ });
    }
  },
);
