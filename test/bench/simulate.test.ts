import t from 'tap';
import { simulateCli } from '../../bench/simulate/cli.ts';
import { percentiles, report } from '../../bench/simulate/report.ts';
import { idealSeconds, type Scenario } from '../../bench/simulate/scenario.ts';
import { Simulation } from '../../bench/simulate/simulation.ts';
import { TimingWheel } from '../../bench/simulate/wheel.ts';

const MIB = 1024 * 1024;
const BASE: Scenario = {
  nodes: 100,
  blobBytes: 512 * MIB,
  pieceBytes: 2 * MIB,
  nodeRate: 300 * MIB,
  seeds: 3,
  seedRate: 1000 * MIB,
  registryRate: 3000 * MIB,
  latencyMs: 0.2,
  haveDelayMs: 0,
  rngSeed: 1,
};

function simulate(change: Partial<Scenario>) {
  const scenario = { ...BASE, ...change };
  return report(
    scenario,
    new Simulation(scenario).run(() => {}),
    { seconds: 0, peakRssBytes: 0 },
  );
}

await t.test('one node with one seed takes what the arithmetic says', async (t) => {
  const { seconds, idealSeconds } = simulate({ nodes: 1, seeds: 1, latencyMs: 0 });
  t.ok(seconds.max >= idealSeconds, `${seconds.max} against ${idealSeconds}`);
  t.ok(seconds.max <= idealSeconds * 1.01, 'nothing but the last pieces is lost');
  t.equal(idealSeconds, 512 / 300);
});

await t.test('a slow registry sets the pace', async (t) => {
  const { seconds, idealSeconds, originRatio } = simulate({ nodes: 20, registryRate: 100 * MIB });
  t.equal(idealSeconds, 5.12);
  t.ok(seconds.max >= 5.12 && seconds.max < 5.12 * 1.03, `${seconds.max}`);
  t.equal(originRatio, 1);
});

await t.test('a blob of one short piece goes through every node', async (t) => {
  const { pieces, seconds } = simulate({ nodes: 30, blobBytes: 1000 });
  t.equal(pieces, 1);
  t.ok(seconds.p50 > 0.0004 && seconds.max < 0.05, JSON.stringify(seconds));
});

await t.test('nobody beats the physical limit, and the crowd comes near it', async (t) => {
  for (const change of [
    {},
    { seeds: 1, seedRate: 330 * MIB, registryRate: 330 * MIB },
    { nodes: 7, pieceBytes: 8 * MIB },
    { nodeRate: 50 * MIB, latencyMs: 2 },
    { seeds: 1, seedRate: 30 * MIB, registryRate: 60 * MIB, blobBytes: 64 * MIB },
  ]) {
    const { ratio, originRatio } = simulate(change);
    const told = `${JSON.stringify(change)}: ${JSON.stringify(ratio)}`;
    t.ok(
      ratio.p50 >= 1 && ratio.p50 <= ratio.p99 && ratio.p99 <= ratio.p999 && ratio.p999 <= ratio.max,
      told,
    );
    t.ok(ratio.max < 1.25, told);
    t.equal(originRatio, 1);
  }
});

await t.test('hundreds of nodes with 256 pieces come within an eighth of the limit', async (t) => {
  const { ratio, uploadMaxRatio } = simulate({ nodes: 400 });
  t.ok(ratio.p999 < 1.13, JSON.stringify(ratio));
  t.ok(uploadMaxRatio < 1.2, `${uploadMaxRatio}`);
});

await t.test('the same seed gives the same numbers, another seed others', async (t) => {
  t.same(simulate({}), simulate({}));
  t.not(simulate({}).seconds.max, simulate({ rngSeed: 2 }).seconds.max);
});

await t.test('events come in time order, never early, however far ahead', async (t) => {
  const wheel = new TimingWheel();
  const times = [0, 0.001, 5, 5, 4.9, 1000, 4095, 4096, 4097, 8192, 100_000, 12_345.678];
  times.forEach((at, i) => wheel.add(at, 1, i, 0, 0, 0));
  let last = -1;
  let count = 0;
  while (wheel.next()) {
    const due = wheel.b === 1 ? last : times[wheel.a]!;
    t.ok(wheel.now >= due && wheel.now - due <= 1 / 16, `due at ${due}, came at ${wheel.now}`);
    t.ok(wheel.now >= last);
    last = wheel.now;
    // An event for the moment that is under way comes next, not a revolution later.
    if (wheel.b === 0) wheel.add(wheel.now, 1, wheel.a, 1, 0, 0);
    count++;
  }
  t.equal(count, times.length * 2);
});

await t.test('percentiles take the nearest rank', async (t) => {
  t.same(percentiles(Float64Array.from({ length: 1000 }, (_, i) => 1000 - i)), {
    p50: 500,
    p99: 990,
    p999: 999,
    max: 1000,
  });
  t.same(percentiles(Float64Array.of(7)), { p50: 7, p99: 7, p999: 7, max: 7 });
});

await t.test('flags are read, with the units that people write', async (t) => {
  let got: Scenario | undefined;
  const cli = simulateCli(({ scenario }) => {
    got = scenario;
  });
  cli.parse(['--nodes', '10', '--blob-bytes', '3GiB', '--seed-rate', '2GiB/s', '--latency', '1ms'], {
    from: 'user',
  });
  t.match(got, {
    nodes: 10,
    blobBytes: 3072 * MIB,
    pieceBytes: 4 * MIB,
    latencyMs: 1,
    registryRate: 6144 * MIB,
  });
  t.equal(idealSeconds(got!), 3072 / 300);
});

await t.test('a wrong flag is named, with what was expected', async (t) => {
  for (const [flag, text] of [
    ['--nodes', '0'],
    ['--nodes', '1.5'],
    ['--blob-bytes', 'much'],
    ['--node-rate', '0'],
    ['--piece-bytes', '1'],
    ['--rng-seed', '-1'],
    ['--latency', 'fast'],
  ]) {
    const cli = simulateCli(() => t.fail('ran'));
    t.throws(() => cli.parse([`${flag}=${text}`], { from: 'user' }), {
      code: 'CONFIG_INVALID',
      message: new RegExp(`^${flag}: got "${text}"; expected `),
    });
  }
});
