import { pino } from 'pino';
import t from 'tap';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import {
  CAPABILITY_CLOCKS_MS,
  CAPABILITY_LIFE_MS,
  type Capability,
  digestListHash,
  issueCapability,
} from '../../lib/security/capability.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { Grants } from '../../lib/transfer/rights/grants.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

const authority = await testAuthority();
const member = async (role: 'node' | 'supernode' | 'tracker'): Promise<Signatures> =>
  new Signatures(steadyCredentials((await testMember(authority, role)).tls));
const [supernode, node, tracker] = [await member('supernode'), await member('node'), await member('tracker')];
const [ours, other] = ['a', 'b'].map((letter) => `sha256:${letter.repeat(64)}`) as [Digest, Digest];
const holder = { id: 'c'.repeat(40), fingerprint: 'd'.repeat(64) };
const asker = { id: holder.id, role: 'node' } as const;
const MINUTE_MS = 60_000;
const NOW = 1_800_000_000_000;
const digests = [ours];
const sound: Capability = {
  list: digestListHash(digests),
  holder: holder.fingerprint,
  sinceMs: NOW,
  untilMs: NOW + CAPABILITY_LIFE_MS,
};

/** @param time cluster time, which goes by what trackers say and may jump; the clock only goes on */
function grantsAt(time: { nowMs: number }, clock = new FakeClock()) {
  const signatures = new Signatures(steadyCredentials(own));
  for (const { card } of [supernode, node, tracker]) signatures.learn(card);
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const metrics = createMetrics({ defaults: false });
  const refused = async (): Promise<Record<string, number>> => {
    const { values } = await metrics.refused.get();
    return Object.fromEntries(values.map(({ labels, value }) => [String(labels['reason']), value]));
  };
  const grants = new Grants({ signatures, log, metrics, clock, wallClockMs: () => time.nowMs });
  return { grants, lines, refused };
}
const own = (await testMember(authority, 'node')).tls;

function pass(clock: FakeClock, ms: number): void {
  const untilMs = clock.now() + ms;
  while (clock.advanceToNext(untilMs));
}

t.test('a member gets the blobs that its capability is for, for as long as it holds', (t) => {
  const clock = new FakeClock();
  const { grants } = grantsAt({ nowMs: NOW }, clock);
  t.ok(grants.show(holder, { text: issueCapability(supernode, sound), digests }));
  t.ok(grants.allows(asker, ours));
  t.notOk(grants.allows(asker, other), 'another blob');
  t.notOk(grants.allows({ id: 'e'.repeat(40), role: 'node' }, ours), 'another member');
  pass(clock, CAPABILITY_LIFE_MS + 29_000);
  t.ok(grants.allows(asker, ours), 'it took a while from who signed it to here');
  pass(clock, 2_000);
  t.notOk(grants.allows(asker, ours), 'it has expired');
  t.end();
});

t.test('a capability that is shown again holds no longer, whoever set the time back', (t) => {
  const [clock, time] = [new FakeClock(), { nowMs: NOW }];
  const { grants } = grantsAt(time, clock);
  const show = (capability = sound): boolean =>
    grants.show(holder, { text: issueCapability(supernode, capability), digests });
  t.ok(show());
  pass(clock, 4 * MINUTE_MS);
  time.nowMs -= 60 * MINUTE_MS;
  t.ok(show());
  pass(clock, MINUTE_MS + 31_000);
  t.notOk(grants.allows(asker, ours), 'of the first time');
  t.notOk(show(), 'it has had its time');
  t.notOk(grants.allows(asker, ours));
  t.ok(show({ ...sound, untilMs: sound.untilMs + 3 * MINUTE_MS }), 'one that was renewed');
  t.ok(grants.allows(asker, ours));
  t.end();
});

t.test('who signed a capability may take the time to be 20 minutes earlier or later, and no more', (t) => {
  const shown = { text: issueCapability(supernode, sound), digests };
  for (const [offMs, allowed] of [
    [-20 * MINUTE_MS, true],
    [10 * MINUTE_MS, true],
    [20 * MINUTE_MS, true],
    [20 * MINUTE_MS + CAPABILITY_LIFE_MS - 1_000, true],
    [20 * MINUTE_MS + CAPABILITY_LIFE_MS + 1_000, false],
  ] as const) {
    const { grants } = grantsAt({ nowMs: NOW + offMs });
    t.equal(grants.show(holder, shown), allowed, `${offMs / MINUTE_MS} minutes`);
    t.equal(grants.allows(asker, ours), allowed);
  }
  t.end();
});

t.test('an old capability is good for no longer than what is left of those 20 minutes', (t) => {
  const clock = new FakeClock();
  const { grants } = grantsAt({ nowMs: sound.untilMs + CAPABILITY_CLOCKS_MS - MINUTE_MS }, clock);
  t.ok(grants.show(holder, { text: issueCapability(supernode, sound), digests }));
  pass(clock, MINUTE_MS - 1_000);
  t.ok(grants.allows(asker, ours));
  pass(clock, 2_000);
  t.notOk(grants.allows(asker, ours));
  t.end();
});

t.test('where sessions are short a capability holds no longer than they', (t) => {
  const clock = new FakeClock();
  const { grants } = grantsAt({ nowMs: NOW }, clock);
  const short = { ...sound, untilMs: NOW + MINUTE_MS };
  t.ok(grants.show(holder, { text: issueCapability(supernode, short), digests }));
  pass(clock, MINUTE_MS + 29_000);
  t.ok(grants.allows(asker, ours));
  pass(clock, 2_000);
  t.notOk(grants.allows(asker, ours));
  t.end();
});

t.test('a time that jumps takes no right away that was shown before', (t) => {
  const time = { nowMs: NOW };
  const { grants } = grantsAt(time);
  t.ok(grants.show(holder, { text: issueCapability(supernode, sound), digests }));
  time.nowMs += 20 * MINUTE_MS;
  t.ok(grants.allows(asker, ours));
  t.end();
});

t.test('what is no capability of a supernode for this member and these blobs is worth nothing', async (t) => {
  const { grants, refused } = grantsAt({ nowMs: NOW });
  const text = issueCapability(supernode, sound);
  const [payload = '', signature = ''] = text.slice('dfcap1_'.length).split('.');
  const later = Buffer.from(
    Buffer.from(payload, 'base64url')
      .toString()
      .replace(String(sound.untilMs), String(sound.untilMs + 1)),
  ).toString('base64url');
  const cases: [reason: string, text: string, digests: readonly Digest[], fingerprint: string][] = [
    ['malformed', '', digests, holder.fingerprint],
    ['malformed', 'dfcap1_x', digests, holder.fingerprint],
    ['forged', issueCapability(node, sound), digests, holder.fingerprint],
    ['forged', issueCapability(tracker, sound), digests, holder.fingerprint],
    ['forged', `dfcap1_${later}.${signature}`, digests, holder.fingerprint],
    ['other-holder', text, digests, 'e'.repeat(64)],
    ['other-blobs', text, [other], holder.fingerprint],
    ['other-blobs', text, [ours, other], holder.fingerprint],
    [
      'expired',
      issueCapability(supernode, { ...sound, untilMs: NOW - 20 * MINUTE_MS - 1 }),
      digests,
      holder.fingerprint,
    ],
  ];
  const expected: Record<string, number> = {};
  for (const [reason, shown, list, fingerprint] of cases) {
    t.notOk(grants.show({ id: holder.id, fingerprint }, { text: shown, digests: list }), reason);
    expected[reason] = (expected[reason] ?? 0) + 1;
    t.same(await refused(), expected);
  }
  t.notOk(grants.allows(asker, ours));
});

t.test(
  'without a capability a member gets nothing: one line in the log, and each time is counted',
  async (t) => {
    const { grants, lines, refused } = grantsAt({ nowMs: NOW });
    for (let time = 0; time < 3; time++) t.notOk(grants.allows(asker, ours));
    t.same(await refused(), { 'no-capability': 3 });
    t.equal(lines.length, 1);
    t.match(JSON.parse(lines[0] ?? ''), { peer: holder.id, reason: 'no-capability' });
    t.ok(grants.allows({ id: holder.id, role: 'supernode' }, ours), 'supernodes read for everybody');
  },
);

t.test('a question for small blobs brings its capability along', (t) => {
  const { grants } = grantsAt({ nowMs: NOW });
  const blobs = [ours, other].map((digest) => ({ digest, size: 5 }));
  const asked = { blobs, from: holder.id, fingerprint: holder.fingerprint };
  t.same([...grants.permitted(asked)], []);
  const capability = { capability: issueCapability(supernode, sound), card: supernode.card, digests };
  t.same([...grants.permitted({ ...asked, fingerprint: undefined, capability })], [], 'of nobody');
  t.same([...grants.permitted({ ...asked, capability })], [ours]);
  t.end();
});
