import t from 'tap';
import { discreteIdealSeconds, idealSeconds } from '../../bench/simulate/limit.ts';
import { MaxMinFlows } from '../../bench/simulate/physics/max-min.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { percentiles } from '../../bench/simulate/report.ts';
import { type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { BASE, countedSeconds, MIB, originRatio, simulate } from './simulated.ts';

/** A registry that nobody waits for. */
const NO_WAIT = 1e9 * MIB;

await t.test('one seed and one node take as long as the slower of both links', async (t) => {
  const blobs = [simulatedBlob(100 * MIB, MIB / 4)];
  for (const [seedRate, nodeRate] of [
    [400, 100],
    [100, 100],
    [50, 100],
    [100, 30],
  ] as const) {
    const outcome = simulate({
      ...{ nodes: 1, seeds: 1, blobs, registryRate: 2000 * MIB },
      seedRate: seedRate * MIB,
      nodeRate: nodeRate * MIB,
    });
    const [took, wanted] = [outcome.seconds[0]!, 100 / Math.min(seedRate, nodeRate)];
    t.ok(took >= wanted && took <= wanted * 1.01, `${took} s instead of ${wanted}`);
    t.ok(outcome.firstByteSeconds[0]! < took / 50, 'its caller reads along');
    t.equal(originRatio(outcome), 1);
    t.equal(outcome.uploadMaxBytes, 0, 'nobody is there to send to');
  }
});

await t.test(
  'one node gets M pieces in M + 1 rounds: the first one must be at the seed before',
  async (t) => {
    for (const pieces of [1, 2, 16, 64]) {
      const change = { nodes: 1, seeds: 1, seedRate: 100 * MIB, blobs: [simulatedBlob(pieces * MIB, MIB)] };
      const [took] = simulate(change).seconds;
      const wanted = (pieces + 1) / 100;
      // The first two come one after the other, each with its own way there and back.
      t.ok(took! >= wanted && took! < wanted + 0.002, `${pieces} pieces: ${took} s instead of ${wanted}`);
    }
  },
);

await t.test('a last piece that is shorter takes less time', async (t) => {
  const change = { nodes: 1, seeds: 1, seedRate: 100 * MIB };
  const [short] = simulate({ ...change, blobs: [simulatedBlob(3.25 * MIB, MIB)] }).seconds;
  const [whole] = simulate({ ...change, blobs: [simulatedBlob(4 * MIB, MIB)] }).seconds;
  t.ok(Math.abs(whole! - short! - 0.0075) < 0.0001, `${whole} - ${short}`);
});

await t.test('a registry that is slower than everything else sets the pace', async (t) => {
  for (const registryRate of [30 * MIB, 80 * MIB]) {
    const outcome = simulate({ registryRate });
    const [fastest, slowest] = [Math.min(...outcome.seconds), Math.max(...outcome.seconds)];
    const wanted = (100 * MIB) / registryRate;
    t.ok(fastest >= wanted && slowest < wanted * 1.15, `${fastest} to ${slowest} s instead of ${wanted}`);
    t.equal(originRatio(outcome), 1);
  }
});

await t.test('two nodes beside one seed of their rate exchange halves', async (t) => {
  const outcome = simulate({ nodes: 2, seeds: 1, seedRate: 100 * MIB, registryRate: NO_WAIT });
  const last = Math.max(...outcome.seconds);
  // The seed sends each piece once; the last one takes a round more to the other node, and one at the seed.
  t.ok(last >= 1.02 && last < 1.06, `${last} s`);
  const sent = outcome.uploadMaxBytes / (100 * MIB);
  t.ok(sent >= 0.5 && sent < 0.55, `${sent} of the blob`);
});

await t.test('nobody beats what is possible with whole pieces', async (t) => {
  for (const nodes of [1, 2, 3, 4, 7, 8, 15, 64]) {
    for (const pieces of [1, 2, 10, 64]) {
      const blobs = [simulatedBlob(pieces * MIB, MIB)];
      const { seconds } = simulate({ nodes, seeds: 1, seedRate: 100 * MIB, registryRate: NO_WAIT, blobs });
      const [last, bound] = [Math.max(...seconds), discreteIdealSeconds(nodes, pieces, MIB, 100 * MIB)];
      t.ok(last >= bound && last < 3 * bound, `${nodes} nodes, ${pieces} pieces: ${last} s, bound ${bound}`);
    }
  }
});

await t.test('nobody beats the physical limit, and the crowd comes near it', async (t) => {
  const changes: readonly Partial<Scenario>[] = [
    {},
    { nodes: 1 },
    { nodes: 10, seeds: 1, seedRate: 110 * MIB, registryRate: 110 * MIB },
    { nodes: 7, blobs: [simulatedBlob(100 * MIB, 4 * MIB)] },
    { nodeRate: 20 * MIB, latencyMs: 2, blobs: [simulatedBlob(50 * MIB, MIB)] },
    { seeds: 1, seedRate: 10 * MIB, registryRate: 20 * MIB, blobs: [simulatedBlob(32 * MIB, MIB)] },
    { nodes: 200 },
    { profile: PROFILES.daemon },
    { registryRate: 50 * MIB },
    { nodes: 80, slow: { share: 0.1, rate: 0.2 } },
    { zones: 4, zoneLatencyMs: 2 },
    { zones: 3, zoneRate: 400 * MIB },
  ];
  for (const change of changes) {
    const sorted = countedSeconds(simulate(change));
    const ideal = idealSeconds({ ...BASE, ...change });
    const [first, last] = [sorted[0]! / ideal, sorted.at(-1)! / ideal];
    t.ok(first >= 1 && last < 1.5, `${JSON.stringify(change)}: ${first} to ${last} x the limit`);
  }
  const { p50, p999 } = percentiles(countedSeconds(simulate({ nodes: 200 })));
  t.ok(p50 < 1.15 && p999 < 1.2, `200 nodes: ${p50}, ${p999}`);
});

await t.test('a blob of one short piece goes through every node', async (t) => {
  const { seconds } = simulate({ nodes: 30, blobs: [simulatedBlob(1000)] });
  t.ok(Math.min(...seconds) > 0.0004 && Math.max(...seconds) < 0.05, `${Math.max(...seconds)} s`);
});

await t.test('nodes send about as much as they get', async (t) => {
  const { uploadMaxBytes } = simulate({ nodes: 200, seeds: 1, seedRate: 100 * MIB });
  t.ok(uploadMaxBytes < 130 * MIB, `${uploadMaxBytes / MIB} MiB`);
});

await t.test('equal shares give about what exact fairness gives', async (t) => {
  const change = { nodes: 150, blobs: [simulatedBlob(96 * MIB, MIB)] };
  const equal = percentiles(simulate(change).seconds);
  const exact = percentiles(
    simulate(change, (rates, wheel, kind, zones) => new MaxMinFlows(rates, wheel, kind, zones)).seconds,
  );
  for (const rank of ['p50', 'p999'] as const) {
    const ratio = equal[rank] / exact[rank];
    t.ok(ratio > 0.88 && ratio < 1.12, `${rank}: ${equal[rank]} s, ${exact[rank]} s`);
  }
  t.not(equal.p50, exact.p50, 'it is another physics');
});

await t.test('percentiles take the nearest rank', async (t) => {
  t.same(percentiles(Float64Array.from({ length: 1000 }, (_, i) => 1000 - i)), {
    ...{ p50: 500, p99: 990, p999: 999, max: 1000 },
  });
  t.same(percentiles(Float64Array.of(7)), { p50: 7, p99: 7, p999: 7, max: 7 });
});
