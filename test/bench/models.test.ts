import t from 'tap';
import { idealSeconds } from '../../bench/simulate/limit.ts';
import { BLIND_SWARM, blindSwarm, blindSwarmOver } from '../../bench/simulate/models/blind-swarm.ts';
import { DIRECT, direct } from '../../bench/simulate/models/direct.ts';
import { WHOLE_LAYER, wholeLayer } from '../../bench/simulate/models/whole-layer.ts';
import type { Outcome, Strategy } from '../../bench/simulate/outcome.ts';
import { MaxMinFlows } from '../../bench/simulate/physics/max-min.ts';
import { Population } from '../../bench/simulate/population.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { imageBytes, type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { BASE as COMMON, MIB } from './simulated.ts';

/** Latency, there and back, and what events wait for the buckets of the wheel. */
const TRIP_SECONDS = 0.0004;
const LATE_SECONDS = 0.0002;

/** One blob of 100 MiB, which a node takes in a second. */
const BASE: Scenario = {
  ...COMMON,
  ...{ nodes: 20, seeds: 1, registryRate: 400 * MIB },
};
const JOIN_TAKES_TIME = { ...PROFILES.reference, joinTakesTime: true };
const LAYERS = [simulatedBlob(10 * MIB, MIB), simulatedBlob(30 * MIB, MIB), simulatedBlob(60.5 * MIB, MIB)];
const MODELS: readonly (readonly [string, Strategy])[] = [
  [DIRECT, direct],
  [BLIND_SWARM, blindSwarm],
  [WHOLE_LAYER, wholeLayer],
];

type Tap = Pick<typeof t, 'ok'>;

function run(strategy: Strategy, change: Partial<Scenario>): Outcome {
  return strategy({ ...BASE, ...change }, () => {});
}

/** Nodes in the order of their starts. */
function byStart({ joinedAt }: Outcome): number[] {
  return [...joinedAt.keys()].sort((a, b) => joinedAt[a]! - joinedAt[b]!);
}

function isNear(t: Tap, got: number, wanted: number, told: string): void {
  t.ok(Math.abs(got - wanted) <= LATE_SECONDS, `${told}: ${got} instead of ${wanted}`);
}

function counts({ counted }: Outcome): number {
  return counted.reduce((sum, each) => sum + each, 0);
}

function origin(outcome: Outcome, change: Partial<Scenario> = {}): number {
  return outcome.originBytes / imageBytes({ ...BASE, ...change });
}

t.test('direct: nodes share the registry, or their own links hold them back', async (t) => {
  const shared = run(direct, {});
  for (const seconds of shared.seconds) {
    isNear(t, seconds, 20 * 0.25 + TRIP_SECONDS, 'a registry at its limit');
  }
  for (const seconds of shared.firstByteSeconds) isNear(t, seconds, TRIP_SECONDS, 'its caller reads along');
  t.equal(origin(shared), 20);
  t.equal(shared.originRequests, 20 * 5);
  t.equal(shared.uploadMaxBytes, 0);
  const few = run(direct, { nodes: 3 });
  for (const seconds of few.seconds) isNear(t, seconds, 1 + TRIP_SECONDS, 'a registry with room');
});

t.test('direct: layers are read at the same time', async (t) => {
  const layered = run(direct, { blobs: LAYERS });
  for (const seconds of layered.seconds) isNear(t, seconds, (20 * 100.5) / 400 + TRIP_SECONDS, 'all layers');
  t.equal(layered.originRequests, 20 * 7);
  t.equal(origin(layered, { blobs: LAYERS }), 20);
});

t.test('direct: who comes later shares with those who are still reading', async (t) => {
  const outcome = run(direct, { nodes: 2, registryRate: 100 * MIB, joinOverMs: 1000 });
  const [first, second] = byStart(outcome);
  t.equal(outcome.joinedAt[second!], 0.5);
  // Half a second alone, a second together, half a second alone.
  isNear(t, outcome.seconds[first!]!, 1.5 + TRIP_SECONDS, 'first');
  isNear(t, outcome.seconds[second!]!, 1.5 + TRIP_SECONDS, 'second');
  const three = run(direct, { nodes: 3, registryRate: 100 * MIB, joinOverMs: 1500 });
  const [a, b, c] = byStart(three);
  // Rates of a: 1 until 0.5, 1/2 until 1, 1/3 until 1.75. Then b and c have 1/2 each: b lacks 1/2 of the blob.
  isNear(t, three.seconds[a!]!, 1.75 + TRIP_SECONDS, 'a');
  isNear(t, three.seconds[b!]!, 2.75 - 0.5 + TRIP_SECONDS, 'b');
  isNear(t, three.seconds[c!]!, 3 - 1 + TRIP_SECONDS, 'c');
});

t.test('direct: a slow node is slow itself, and nobody gets what it leaves', async (t) => {
  const change = { nodes: 4, registryRate: 100 * MIB, slow: { share: 0.25, rate: 0.1 } };
  const outcome = run(direct, change);
  t.equal(counts(outcome), 3);
  for (const [node, seconds] of outcome.seconds.entries()) {
    isNear(t, seconds, (outcome.counted[node] === 1 ? 4 : 10) + TRIP_SECONDS, `node ${node}`);
  }
});

t.test('direct: requests wait in line, and the way to the first layer takes its round trips', async (t) => {
  const lined = run(direct, { registryRequestRate: 10 });
  // Request number 100 of 100 is answered when 99 have been.
  isNear(t, Math.max(...lined.firstByteSeconds), 9.9 + TRIP_SECONDS, 'the last first byte');
  const far = { profile: JOIN_TAKES_TIME, latencyMs: 10, nodes: 1 };
  isNear(t, run(direct, far).firstByteSeconds[0]!, 5 * 0.02, 'probe, token, HEAD, GET, layer');
});

t.test('direct: the dead stop reading', async (t) => {
  const outcome = run(direct, { crash: { share: 0.5, atMs: 2500 } });
  t.equal(counts(outcome), 10);
  for (const [node, seconds] of outcome.seconds.entries()) {
    // Half of the blob after 2.5 s, then with half of the nodes.
    if (outcome.counted[node] === 1) isNear(t, seconds, 2.5 + 1.25 + TRIP_SECONDS / 2, `node ${node}`);
    else t.ok(Number.isNaN(seconds));
  }
  t.ok(Math.abs(origin(outcome) - 15) < 0.01, `${origin(outcome)} blobs were read`);
});

t.test('whole layer: a cold flash crowd is a crowd of direct reads', async (t) => {
  for (const change of [{}, { blobs: LAYERS }]) {
    const outcome = run(wholeLayer, change);
    t.same(outcome.seconds, run(direct, change).seconds);
    t.equal(origin(outcome, change), 20);
  }
});

t.test('whole layer: in a chain each node reads from one before it', async (t) => {
  const change = { nodes: 10, registryRate: 50 * MIB, joinOverMs: 100_000 };
  const outcome = run(wholeLayer, change);
  byStart(outcome).forEach((node, rank) => {
    isNear(t, outcome.seconds[node]!, (rank === 0 ? 2 : 1) + TRIP_SECONDS, `number ${rank}`);
    isNear(t, outcome.firstByteSeconds[node]!, TRIP_SECONDS, `number ${rank}, first byte`);
  });
  t.equal(origin(outcome), 1);
  t.equal(outcome.originRequests, 5, 'only the first one asks the registry');
  t.ok(outcome.uploadMaxBytes >= 100 * MIB);
});

t.test('whole layer: those who come together share one holder', async (t) => {
  // The first one ends before the others come, who end before any of them could help.
  const outcome = run(wholeLayer, { nodes: 3, blobs: [simulatedBlob(100 * MIB)], joinOverMs: 3000 });
  t.same(
    [...outcome.seconds].map((seconds) => seconds.toFixed(2)),
    ['1.00', '1.00', '1.00'],
  );
  const crowd = run(wholeLayer, { nodes: 3, joinOverMs: 3000, nodeRate: 80 * MIB });
  const [, second, third] = byStart(crowd);
  // The first one has ended after 1.25 s, too late for the second one. The third one finds only the first one.
  isNear(t, crowd.seconds[second!]!, 1.25 + TRIP_SECONDS, 'second');
  isNear(t, crowd.seconds[third!]!, 1.25 + TRIP_SECONDS, 'third');
  t.equal(origin(crowd), 2);
});

t.test('whole layer: a poisoned layer is read again, from somebody else', async (t) => {
  let bans = 0;
  for (const rngSeed of [1, 2, 3, 4]) {
    const outcome = run(wholeLayer, { joinOverMs: 100_000, poison: 0.3, rngSeed });
    t.equal(counts(outcome), 14);
    t.equal(outcome.piecesRejected, outcome.bans * 100, 'all pieces of a layer each time');
    const extra = outcome.seconds.reduce((sum, seconds) => sum + Math.round(seconds) - 1, 0);
    t.equal(extra, outcome.bans, 'each time costs a second');
    bans += outcome.bans;
  }
  t.ok(bans > 5 && bans < 80, `${bans} bites; of 19 nodes, 0.3 and more each`);
});

t.test('whole layer: when a holder dies, its reader asks elsewhere a second later', async (t) => {
  // The first starter, who is the only holder, is the one that dies, for one of these random numbers.
  const change = { nodes: 2, joinOverMs: 20_000, crash: { share: 0.5, atMs: 10_500 } };
  const outcome = [1, 2, 3, 4, 5, 6, 7, 8]
    .map((rngSeed) => run(wholeLayer, { ...change, rngSeed }))
    .find((each) => each.counted[byStart(each)[0]!] === 0)!;
  const reader = byStart(outcome)[1]!;
  isNear(t, outcome.seconds[reader]!, 0.5 + 1 + 1 + TRIP_SECONDS, 'the reader');
  t.equal(origin(outcome), 2);
  t.ok(Math.abs(outcome.uploadMaxBytes / (50 * MIB) - 1) < 0.01, 'what the dead one had sent counts');
});

t.test('whole layer: who asks a dead holder notices a second later', async (t) => {
  const change = { nodes: 2, joinOverMs: 20_000, crash: { share: 0.5, atMs: 9500 } };
  const outcome = [1, 2, 3, 4, 5, 6, 7, 8]
    .map((rngSeed) => run(wholeLayer, { ...change, rngSeed }))
    .find((each) => each.counted[byStart(each)[0]!] === 0)!;
  isNear(t, outcome.seconds[byStart(outcome)[1]!]!, 1 + 1 + (TRIP_SECONDS * 3) / 2, 'the reader');
});

t.test('whole layer: a node may find some layers and read others from the registry', async (t) => {
  // After half a second, the first one has the first layer only.
  const outcome = run(wholeLayer, { nodes: 2, joinOverMs: 1000, blobs: LAYERS });
  t.equal(outcome.originRequests, 4 + 3 + 2 + 2, 'the second one needs a probe and a token for two layers');
  t.equal(outcome.originBytes, (10 + 2 * 90.5) * MIB);
});

t.test('without the tracker newcomers wait, unless they need none', async (t) => {
  const trackerDown = { atMs: 0, forMs: 3000 };
  for (const seconds of run(direct, { nodes: 2, trackerDown }).seconds) {
    isNear(t, seconds, 1 + TRIP_SECONDS, 'direct');
  }
  for (const seconds of run(wholeLayer, { nodes: 2, trackerDown }).seconds) {
    isNear(t, seconds, 4 + TRIP_SECONDS, 'whole layer');
  }
  for (const seconds of run(blindSwarm, { nodes: 2, trackerDown }).seconds) {
    t.ok(seconds > 4, `blind: ${seconds}`);
  }
});

t.test('blind swarm: one node and one seed take both ways one after the other', async (t) => {
  const blobs = [simulatedBlob(100 * MIB, 4 * MIB)];
  for (const [change, wanted] of [
    [{ blobs }, 0.25 + 1],
    [{ blobs, seedRate: 50 * MIB }, 2 + 2],
    // The seed gets the last layer last, when the node has got the others.
    [{ blobs: LAYERS, registryRate: 50 * MIB }, 2.01 + 0.605],
  ] as const) {
    const outcome = run(blindSwarm, { ...change, nodes: 1 });
    const told = `${outcome.seconds[0]} instead of ${wanted}`;
    t.ok(outcome.seconds[0]! >= wanted && outcome.seconds[0]! < wanted * 1.01, told);
  }
});

t.test('blind swarm: the caller gets nothing of a layer before the node has all of it', async (t) => {
  const single = run(blindSwarm, {});
  t.same(single.firstByteSeconds, single.seconds);
  const layered = run(blindSwarm, { blobs: LAYERS });
  t.ok(layered.firstByteSeconds.every((first, node) => first > 0.1 && first < layered.seconds[node]!));
});

t.test('blind swarm: the registry is read once, by the seeds', async (t) => {
  for (const change of [{}, { blobs: LAYERS }, { seeds: 4, joinOverMs: 2000 }]) {
    const outcome = run(blindSwarm, change);
    t.equal(origin(outcome, change), 1);
    t.equal(outcome.originRequests, 4 + (change.blobs?.length ?? 1) * (change.seeds ?? 1));
  }
});

t.test('blind swarm: a seed that dies early leaves its stripe to be read again', async (t) => {
  const seeds = { seeds: 4, seedRate: 100 * MIB };
  const early = run(blindSwarm, { ...seeds, seedCrash: { count: 1, atMs: 125 } });
  t.ok(Math.abs(origin(early) - 1.125) < 0.001, `half a stripe too many: ${origin(early)}`);
  t.ok(Math.min(...early.seconds) > 1.125 + 0.25, 'nobody is served before the stripe is there');
  const first = run(blindSwarm, { ...seeds, seedCrash: { count: 1, atMs: 0 } });
  t.equal(origin(first), 1, 'a seed that has read nothing costs nothing');
  t.ok(Math.min(...first.seconds) > 1 + 0.25, 'but time');
  const late = run(blindSwarm, { ...seeds, seedCrash: { count: 3, atMs: 500 } });
  t.equal(origin(late), 1);
  t.ok(Math.max(...late.seconds) > Math.max(...run(blindSwarm, seeds).seconds), 'one seed takes longer');
  t.throws(() => run(blindSwarm, { ...seeds, seedCrash: { count: 4, atMs: 500 } }), {
    code: 'INTERNAL',
    message: /came to a halt/,
  });
});

t.test('blind swarm: the dead are not waited for, and the others finish', async (t) => {
  const outcome = run(blindSwarm, { nodes: 60, crash: { share: 0.25, atMs: 800 } });
  t.equal(counts(outcome), 45);
  for (const [node, seconds] of outcome.seconds.entries()) {
    t.equal(Number.isNaN(seconds), outcome.counted[node] === 0);
  }
  const all = run(blindSwarm, { nodes: 60, crash: { share: 1, atMs: 800 } });
  t.equal(counts(all), 0);
});

t.test('blind swarm: poisoned pieces are rejected, and their senders banned once by each node', async (t) => {
  const outcome = run(blindSwarm, { nodes: 60, poison: 0.2 });
  t.equal(counts(outcome), 48);
  t.ok(outcome.bans >= 48 && outcome.bans <= 12 * 20, `${outcome.bans} bans`);
  t.equal(outcome.piecesRejected, outcome.bans);
  t.ok(outcome.seconds.every((seconds) => seconds > 0));
  t.equal(run(blindSwarm, { nodes: 60 }).piecesRejected, 0);
});

t.test('blind swarm: most pieces come from other zones, which are further away', async (t) => {
  const crossed = run(blindSwarm, { nodes: 60, zones: 4 }).crossZoneBytes / (100 * MIB);
  t.ok(crossed > 60 * 0.6 && crossed < 60 * 0.9, `${crossed} of 60 images; 45 expected`);
  t.equal(run(blindSwarm, { nodes: 60 }).crossZoneBytes, 0);
  const far = run(blindSwarm, { nodes: 60, zones: 4, zoneLatencyMs: 50 });
  t.ok(Math.min(...far.seconds) > Math.min(...run(blindSwarm, { nodes: 60, zones: 4 }).seconds));
  t.equal(run(direct, { zones: 4 }).crossZoneBytes, 0);
  t.equal(run(wholeLayer, { zones: 20, joinOverMs: 100_000 }).crossZoneBytes, 19 * 100 * MIB);
});

t.test('blind swarm: exact fairness gives about the same', async (t) => {
  const exact = blindSwarmOver((rates, wheel, kind) => new MaxMinFlows(rates, wheel, kind));
  const sum = (strategy: Strategy): number => run(strategy, { nodes: 30 }).seconds.reduce((a, b) => a + b, 0);
  const ratio = sum(blindSwarm) / sum(exact);
  t.ok(ratio > 0.9 && ratio < 1.2, `${ratio}`);
});

t.test('borders between zones hold the blind swarm back, reads of the registry go free', async (t) => {
  // The only seed is in zone 0: all others must import the image.
  const limited = { nodes: 20, zones: 4, zoneRate: 50 * MIB };
  const { seconds, crossZoneBytes } = run(blindSwarm, limited);
  const busiest = crossZoneBytes / 4 / (50 * MIB);
  t.ok(Math.max(...seconds) >= busiest, `${Math.max(...seconds)} s; the mean of the borders ${busiest} s`);
  t.ok(Math.max(...seconds) > 2 * Math.max(...run(blindSwarm, { nodes: 20, zones: 4 }).seconds));
  const importing = seconds.filter((_, node) => node % 4 !== 0);
  t.equal(idealSeconds({ ...BASE, ...limited }), 2);
  t.ok(Math.min(...importing) >= 2, `${Math.min(...importing)} s`);
  t.same(run(direct, { zones: 2, zoneRate: MIB }).seconds, run(direct, { zones: 2 }).seconds);
  t.throws(() => run(wholeLayer, limited), { code: 'CONFIG_INVALID' });
});

for (const [name, strategy] of MODELS) {
  t.test(`${name}: nobody beats the physical limit`, async (t) => {
    for (const change of [
      {},
      { nodes: 1 },
      { blobs: LAYERS, seeds: 3 },
      { registryRate: 30 * MIB },
      { nodes: 40, slow: { share: 0.2, rate: 0.2 } },
      { nodes: 40, seeds: 4, seedRate: 30 * MIB, poison: 0.1 },
    ]) {
      const scenario = { ...BASE, ...change };
      const { seconds, counted } = strategy(scenario, () => {});
      const fastest = Math.min(...seconds.filter((_, node) => counted[node] === 1));
      t.ok(fastest >= idealSeconds(scenario), `${fastest} against ${idealSeconds(scenario)}`);
      t.ok(seconds.every((each) => each > 0));
    }
  });

  t.test(`${name}: the same numbers come again, with everything that can happen`, async (t) => {
    const change = {
      profile: PROFILES.daemon,
      nodes: 40,
      seeds: 3,
      blobs: LAYERS,
      zones: 3,
      zoneLatencyMs: 2,
      registryRequestRate: 200,
      joinOverMs: 2000,
      crash: { share: 0.1, atMs: 1000 },
      seedCrash: { count: 1, atMs: 100 },
      slow: { share: 0.1, rate: 0.1 },
      trackerDown: { atMs: 300, forMs: 300 },
      poison: 0.1,
    };
    const outcome = run(strategy, change);
    t.same(outcome, run(strategy, change));
    t.notSame(outcome.seconds, run(strategy, { ...change, rngSeed: 2 }).seconds);
    const population = new Population({ ...BASE, ...change }, createRng(BASE.rngSeed));
    t.same(
      [...outcome.counted],
      Array.from({ length: 40 }, (_, node) => (population.counts(node) ? 1 : 0)),
    );
    t.ok(outcome.seconds.every((seconds, node) => seconds > 0 || outcome.counted[node] === 0));
    t.same(
      [...outcome.joinedAt].sort((a, b) => a - b).map((at) => Math.round(at * 1000)),
      joins(40, 2000),
    );
  });

  t.test(`${name}: progress is told`, async (t) => {
    let last = 0;
    strategy({ ...BASE, nodes: 300, blobs: [simulatedBlob(250 * MIB, 0.25 * MIB)] }, (_, pieces, share) => {
      t.ok(pieces > last && Math.abs(share - pieces / 300_000) < 1e-9, `${pieces}: ${share}`);
      last = pieces;
    });
    t.ok(last >= 200_000);
  });
}

function joins(nodes: number, overMs: number): number[] {
  return Array.from({ length: nodes }, (_, rank) => Math.round((rank * overMs) / nodes));
}
