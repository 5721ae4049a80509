import t from 'tap';
import { blindSwarm } from '../../bench/simulate/models/blind-swarm.ts';
import type { Outcome } from '../../bench/simulate/outcome.ts';
import { Flows } from '../../bench/simulate/physics/flows.ts';
import type { Physics } from '../../bench/simulate/physics/fluid-links.ts';
import { Population } from '../../bench/simulate/population.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { BASE, countedSeconds, MIB, originRatio, simulate } from './simulated.ts';

const LAYERS = [simulatedBlob(30.5 * MIB, MIB), simulatedBlob(1000), simulatedBlob(40 * MIB, MIB)];
const SCENARIOS: readonly (readonly [string, Partial<Scenario>])[] = [
  ['a flash crowd', {}],
  ['staggered joins', { joinOverMs: 1000 }],
  ['crash', { crash: { share: 0.2, atMs: 500 } }],
  ['slow', { slow: { share: 0.2, rate: 0.2 } }],
  ['seed crash', { seedCrash: { count: 1, atMs: 100 } }],
  ['tracker down', { trackerDown: { atMs: 100, forMs: 1000 }, joinOverMs: 1000 }],
  ['poison', { poison: 0.1 }],
  ['zones', { zones: 4, zoneLatencyMs: 2, zoneRate: 200 * MIB }],
  ['a site is cut off', { zones: 3, zoneRate: 80 * MIB, siteCut: { zone: 2, atMs: 300, forMs: 6000 } }],
  ['layers', { blobs: LAYERS }],
  [
    'all of it',
    {
      ...{ joinOverMs: 1000, crash: { share: 0.1, atMs: 700 }, slow: { share: 0.1, rate: 0.2 }, poison: 0.1 },
      ...{ seedCrash: { count: 1, atMs: 200 }, trackerDown: { atMs: 300, forMs: 300 } },
      ...{ zones: 4, zoneLatencyMs: 2, zoneRate: 400 * MIB, blobs: LAYERS, registryRequestRate: 500 },
    },
  ],
];

function counts({ counted }: Outcome): number {
  return counted.reduce((sum, each) => sum + each, 0);
}

function last(outcome: Outcome): number {
  return countedSeconds(outcome).at(-1)!;
}

/** Equal shares that are told when a flow is started or stopped that must not be. */
function checked(complain: (told: string) => void): Physics {
  return (rates, wheel, kind, zones) => {
    const flows = new Flows(rates, wheel, kind, zones);
    const running = new Set<number>();
    return {
      get from() {
        return flows.from;
      },
      get to() {
        return flows.to;
      },
      into: (end) => flows.into(end),
      outOf: (end) => flows.outOf(end),
      open: (from, to, bytes) => flows.open(from, to, bytes),
      start(flow) {
        if (running.has(flow)) complain('started twice');
        running.add(flow);
        flows.start(flow);
      },
      ended(flow, version) {
        const isOver = flows.ended(flow, version);
        if (isOver) running.delete(flow);
        return isOver;
      },
      stop(flow) {
        if (!running.delete(flow)) complain('stopped although it does not run');
        flows.stop(flow);
      },
      release(flow) {
        if (running.has(flow)) complain('released although it runs');
        flows.release(flow);
      },
    };
  };
}

for (const [name, change] of SCENARIOS) {
  await t.test(`${name}: flows start, stop and are given back in this order`, async (t) => {
    for (const profile of Object.values(PROFILES)) {
      const complaints: string[] = [];
      const outcome = simulate(
        { ...change, profile },
        checked((told) => complaints.push(told)),
      );
      t.same(complaints, []);
      t.same(outcome, simulate({ ...change, profile }));
    }
  });

  await t.test(`${name}: the same numbers come again, and others for another RNG seed`, async (t) => {
    for (const profile of Object.values(PROFILES)) {
      const outcome = simulate({ ...change, profile });
      t.same(outcome, simulate({ ...change, profile }));
      t.notSame(outcome.seconds, simulate({ ...change, profile, rngSeed: 2 }).seconds);
      const population = new Population({ ...BASE, ...change }, createRng(BASE.rngSeed));
      for (const [node, seconds] of outcome.seconds.entries()) {
        t.equal(outcome.counted[node] === 1, population.counts(node));
        if (!population.isDoomed(node)) t.ok(seconds > 0, `node ${node} finishes: ${seconds}`);
      }
    }
  });
}

await t.test('the dead do not count, and all others finish', async (t) => {
  const outcome = simulate({ crash: { share: 0.25, atMs: 500 } });
  t.equal(counts(outcome), 45);
  for (const [node, seconds] of outcome.seconds.entries()) {
    t.equal(Number.isNaN(seconds), outcome.counted[node] === 0, `node ${node}: ${seconds}`);
  }
  t.equal(originRatio(outcome), 1, 'what they held is elsewhere too');
  t.ok(last(outcome) < 2, `${last(outcome)} s`);
  const late = simulate({ crash: { share: 0.25, atMs: 3000 } });
  t.same(late.seconds, simulate({}).seconds, 'who has everything is not missed');
});

await t.test('it takes time to notice that a neighbour is dead', async (t) => {
  const crash = { share: 0.3, atMs: 500 };
  const at = (linkLostMs: number): number =>
    last(simulate({ crash, profile: { ...PROFILES.reference, linkLostMs } }));
  const [soon, later] = [at(1), at(5000)];
  t.ok(soon + 0.1 < later, `${soon} s when all see it at once, ${later} s when they must find out`);
  // Nodes suspect a neighbour that sends nothing for 300 ms.
  t.ok(later < soon + 0.4, 'nobody waits for the link to break');
});

await t.test('when all nodes but one die, it goes on alone', async (t) => {
  const outcome = simulate({ nodes: 20, crash: { share: 0.95, atMs: 200 } });
  t.equal(counts(outcome), 1);
  t.ok(last(outcome) < 3, `${last(outcome)} s`);
});

await t.test('slow nodes hold the fast ones back less than where nobody cares', async (t) => {
  const change = { nodes: 100, slow: { share: 0.05, rate: 0.1 } };
  const outcome = simulate(change);
  t.equal(counts(outcome), 95);
  const slowest = outcome.seconds.filter((_, node) => outcome.counted[node] === 0);
  t.ok(Math.min(...slowest) >= 10, 'a slow node needs ten times as long');
  t.ok(last(outcome) < 1.3, `the last fast one: ${last(outcome)} s`);
  const blind = blindSwarm({ ...BASE, ...change }, () => {});
  t.ok(last(outcome) < last(blind) * 0.8, `${last(outcome)} s against ${last(blind)} s`);
  t.ok(countedSeconds(outcome)[47]! < 1.15, 'half of the fast ones');
});

await t.test('a seed that dies leaves its part to the others', async (t) => {
  for (const atMs of [20, 100, 300]) {
    const outcome = simulate({ seedCrash: { count: 1, atMs } });
    t.ok(originRatio(outcome) >= 1 && originRatio(outcome) <= 1.2, `at ${atMs} ms: ${originRatio(outcome)}`);
    t.ok(last(outcome) < 1.3, `${last(outcome)} s`);
  }
  t.equal(originRatio(simulate({ seedCrash: { count: 1, atMs: 900 } })), 1, 'everything was passed on');
  t.equal(counts(simulate({ seedCrash: { count: 2, atMs: 100 } })), 60);
});

await t.test('when the only seed that reads the layer dies, another one takes over', async (t) => {
  const profile = { ...PROFILES.daemon, owners: 1 };
  const before = last(simulate({ profile }));
  for (const atMs of [20, 100, 300]) {
    const outcome = simulate({ profile, seedCrash: { count: 1, atMs } });
    // What it had read and not passed on is read again: less than it can read in that time.
    const most = 1 + (0.4 * atMs) / 100;
    t.ok(originRatio(outcome) > 1 && originRatio(outcome) < most, `at ${atMs} ms: ${originRatio(outcome)}`);
    t.ok(last(outcome) > before + 0.1 && last(outcome) < before + 0.8, `${last(outcome)} s`);
  }
});

await t.test('when one of three seeds that read stripes dies, the others read them', async (t) => {
  const profile = PROFILES.daemon;
  const before = last(simulate({ profile }));
  for (const atMs of [20, 100, 300]) {
    const outcome = simulate({ profile, seedCrash: { count: 1, atMs } });
    // Less than it alone can read in that time.
    const most = 1 + (0.4 * atMs) / 100;
    t.ok(originRatio(outcome) >= 1 && originRatio(outcome) < most, `at ${atMs} ms: ${originRatio(outcome)}`);
    t.ok(last(outcome) < before + 0.5, `${last(outcome)} s`);
  }
});

await t.test('without the tracker newcomers wait or read from the registry', async (t) => {
  const trackerDown = { atMs: 300, forMs: 1500 };
  const outcome = simulate({ nodes: 30, joinOverMs: 1000, trackerDown });
  let late = 0;
  for (const [node, seconds] of outcome.seconds.entries()) {
    const joinedMs = Math.round(outcome.joinedAt[node]! * 1000);
    if (joinedMs < 300) t.ok(seconds < 1.1, `node ${node} came before: ${seconds} s`);
    else {
      late++;
      t.ok(joinedMs + seconds * 1000 > 1800, `node ${node} knew nobody`);
      t.ok(joinedMs + seconds * 1000 < 1800 + 500 + 1200, `node ${node}: ${seconds} s`);
    }
  }
  t.equal(late, 21);
  // A node that is alone reads a piece each 500 ms or so.
  const own = (originRatio(outcome) - 1) * 100;
  t.ok(own >= late && own <= late * 4, `${own} pieces`);
});

await t.test('each wrong piece bans its sender for good, and everybody honest finishes', async (t) => {
  for (const profile of Object.values(PROFILES)) {
    const outcome = simulate({ profile, poison: 0.2 });
    t.equal(counts(outcome), 48);
    t.equal(outcome.piecesRejected, outcome.bans, 'nobody asks again');
    const pairs = 48 * 12 + (12 * 11) / 2;
    t.ok(outcome.bans > 100 && outcome.bans <= pairs, `${outcome.bans} bans, ${pairs} pairs`);
    t.equal(originRatio(outcome), 1);
    t.ok(last(outcome) < 1.6, `${last(outcome)} s`);
  }
  const honest = simulate({});
  t.same([honest.piecesRejected, honest.bans], [0, 0]);
});
