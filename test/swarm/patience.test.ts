import t from 'tap';
import {
  asksSeed,
  isOvertaken,
  isSilent,
  looksAwayMs,
  seeksSupernode,
  stepsIn,
  type Waiting,
} from '../../lib/swarm/patience.ts';

/** Nobody is there, and nobody has been asked. */
const ALONE: Waiting = {
  idleMs: 0,
  company: false,
  patient: false,
  owed: false,
  answeredMs: Number.POSITIVE_INFINITY,
};

/** When a node steps in whose last byte came at 0, to the millisecond. */
function stepsInAt(at: (nowMs: number) => Partial<Waiting>, share = 0): number {
  for (let now = 0; now < 10_000; now++) {
    if (stepsIn({ ...ALONE, idleMs: now, ...at(now) }, share)) return now;
  }
  return Number.POSITIVE_INFINITY;
}

t.test('with others, but without a supernode, it asks for one before it reads', async (t) => {
  const seeks = (idleMs: number, change: Partial<Waiting> = { company: true }, share = 0): boolean =>
    seeksSupernode({ ...ALONE, idleMs, ...change }, share);
  t.notOk(seeks(1499));
  t.ok(seeks(1500), 'in time to be linked to it');
  t.notOk(seeks(1799, { company: true }, 1), 'not all of a crowd at once');
  t.ok(seeks(1800, { company: true }, 1));
  t.notOk(seeks(1500, {}), 'alone it has asked already');
  t.notOk(seeks(4000, { company: true, patient: true }), 'it is linked to one');
});

t.test('how long a node waits', async (t) => {
  t.equal(
    stepsInAt(() => ({})),
    500,
    'alone',
  );
  t.equal(
    stepsInAt(() => ({ company: true })),
    2000,
    'with others',
  );
  t.equal(
    stepsInAt(() => ({ company: true, patient: true })),
    4600,
    'with a supernode',
  );
  t.equal(
    stepsInAt(() => ({ owed: true })),
    3000,
    'while the tracker owes an answer',
  );
});

t.test('an answer gives those whom it names time to be dialled, and no more than that', async (t) => {
  const answeredAt = (atMs: number) => (now: number) =>
    now < atMs ? { owed: true } : { owed: false, answeredMs: now - atMs };
  t.equal(stepsInAt(answeredAt(1200)), 1700);
  t.equal(stepsInAt(answeredAt(2900)), 3000, 'the whole wait has its bound');
  t.equal(
    stepsInAt((now) => ({ owed: now % 400 > 100, answeredMs: now % 400 })),
    3000,
    'a tracker that is asked again and again too',
  );
});

t.test('nodes step in one after the other, and all before a client gives up', async (t) => {
  for (const waiting of [
    {},
    { company: true },
    { company: true, patient: true },
    { patient: true },
    { owed: true },
    { owed: true, company: true, patient: true },
  ]) {
    const [first, last] = [stepsInAt(() => waiting, 0), stepsInAt(() => waiting, 0.999)];
    t.ok(first < last && last < 4900, `${JSON.stringify(waiting)}: ${first} to ${last}`);
  }
});

t.test('supernodes are asked for what a client waits for well before its node reads past them', async (t) => {
  const asksAt = (share: number, askedMs = Number.POSITIVE_INFINITY): number => {
    for (let now = 0; now < 10_000; now++) if (asksSeed(now, askedMs, share)) return now;
    return Number.POSITIVE_INFINITY;
  };
  t.equal(asksAt(0), 2000);
  t.ok(asksAt(0.999) > 2300 && asksAt(0.999) < 2500, 'nodes one after the other');
  t.equal(asksAt(0, 999), Number.POSITIVE_INFINITY, 'once a second');
  t.equal(asksAt(0, 1000), 2000);
});

t.test('a swarm that brings other blobs is slow for some time, and silent in the end', async (t) => {
  t.equal(isSilent(5000, 4000, 3900), true, 'nothing has come of any blob since the node read past it');
  t.equal(isSilent(13_900, 4000, 13_800), false, 'others come');
  t.equal(isSilent(14_000, 4000, 13_900), true, 'others come, but of this one nothing for too long');
});

t.test('who is refused looks again when its client has waited too long, if not before', async (t) => {
  for (const share of [0, 0.999]) {
    const againMs = 4300 + looksAwayMs(2000, 4300, share);
    t.equal(isOvertaken(againMs, share), true, `after ${againMs} ms`);
    t.ok(againMs < 4900);
  }
  t.equal(looksAwayMs(250, 4300, 0), 250, 'it was told to come sooner');
  t.equal(looksAwayMs(500, 4600, 0), 500, 'its client has waited too long, and the crowd is there');
});
