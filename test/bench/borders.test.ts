import t from 'tap';
import { idealSeconds } from '../../bench/simulate/limit.ts';
import { Borders } from '../../bench/simulate/physics/borders.ts';
import { equalShares } from '../../bench/simulate/physics/flows.ts';
import type { FluidLinks, Physics, ZoneLinks } from '../../bench/simulate/physics/fluid-links.ts';
import { MaxMinFlows } from '../../bench/simulate/physics/max-min.ts';
import { TimingWheel } from '../../bench/simulate/physics/wheel.ts';
import { type Scenario, zoneLinks } from '../../bench/simulate/scenario.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { BASE as COMMON, MIB } from './simulated.ts';

const FLOW_ENDS = 0;
const START = 1;
/** An event may come a bucket of the wheel late, and a flow may have waited for a few of them. */
const LATE_MS = 0.1;

interface Way {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly atMs: number;
}

const maxMin: Physics = (rates, wheel, kind, zones) => new MaxMinFlows(rates, wheel, kind, zones);

/** @returns when each ended, milliseconds */
function play(
  physics: Physics,
  rates: readonly number[],
  zones: ZoneLinks | undefined,
  ways: readonly Way[],
): number[] {
  const wheel = new TimingWheel();
  const links: FluidLinks = physics(Float64Array.from(rates), wheel, FLOW_ENDS, zones);
  const wayOf: number[] = [];
  const endedAt: number[] = [];
  ways.forEach(({ atMs }, i) => wheel.add(atMs, START, i, 0, 0, 0));
  while (wheel.next()) {
    const { kind, a, b, now } = wheel;
    if (kind === START) {
      const flow = links.open(ways[a]!.from, ways[a]!.to, ways[a]!.bytes);
      wayOf[flow] = a;
      links.start(flow);
    } else if (links.ended(a, b)) {
      endedAt[wayOf[a]!] = now;
      links.release(a);
    }
  }
  return endedAt;
}

function way(from: number, to: number, bytes: number, atMs = 0): Way {
  return { from, to, bytes, atMs };
}

/** Zones by end; -1 = in everybody's. */
function zonesOf(rate: number, ...of: number[]): ZoneLinks {
  return { of: Int32Array.from(of), rate };
}

function areNear(t: Tap, got: readonly number[], wanted: readonly number[]): void {
  const told = `${got.join(', ')} instead of ${wanted.join(', ')}`;
  t.ok(got.length === wanted.length && got.every((at, i) => Math.abs(at - wanted[i]!) <= LATE_MS), told);
}
type Tap = Pick<typeof t, 'ok'>;

for (const [name, physics] of [
  ['equal share', equalShares],
  ['max-min', maxMin],
] as const) {
  t.test(`${name}: flows between zones share what their zones let through, others do not`, async (t) => {
    const rates = [100, 100, 100, 100, 100, 100, 100, 100];
    const zones = zonesOf(20, 0, 0, 0, 1, 1, 2, -1, 1);
    const alone = [way(0, 3, 1000)];
    areNear(t, play(physics, rates, zones, alone), [50]);
    // Two out of zone 0 to different zones, one within it, one from the end that is in all zones.
    const out = [way(0, 3, 1000), way(1, 5, 1000), way(2, 0, 1000), way(6, 4, 1000)];
    areNear(t, play(physics, rates, zones, out), [100, 100, 10, 10]);
    const into = [way(0, 3, 1000), way(5, 4, 1000), way(3, 7, 1000), way(4, 6, 1000)];
    areNear(t, play(physics, rates, zones, into), [100, 100, 10, 10]);
    // Both ways of a border are apart.
    areNear(t, play(physics, rates, zones, [way(0, 3, 1000), way(3, 0, 1000)]), [50, 50]);
  });

  t.test(`${name}: a flow across a border is held back by its ends too`, async (t) => {
    areNear(t, play(physics, [10, 100, 100], zonesOf(50, 0, 1, 1), [way(0, 1, 1000)]), [100]);
    areNear(t, play(physics, [100, 10, 100], zonesOf(50, 0, 1, 1), [way(0, 1, 1000)]), [100]);
  });

  t.test(
    `${name}: when one that crosses comes and goes, the other one slows down and speeds up`,
    async (t) => {
      const zones = zonesOf(100, 0, 0, 1, 1);
      const ways = [way(0, 2, 10_000), way(1, 3, 2000, 50)];
      // 5,000 bytes alone, 2,000 in 40 ms beside the other, 3,000 alone.
      areNear(t, play(physics, [1000, 1000, 1000, 1000], zones, ways), [120, 90]);
    },
  );

  t.test(`${name}: in random traffic no zone lets through more than its rate, and all arrives`, async (t) => {
    const rng = createRng(7);
    const rates = Array.from({ length: 40 }, () => 100 + rng.int(100));
    const zones = zonesOf(150, ...rates.map((_, end) => end % 3));
    const ways = Array.from({ length: 300 }, () => {
      const from = rng.int(40);
      return way(from, (from + 1 + rng.int(39)) % 40, 1000 + rng.int(20_000), rng.int(2000));
    });
    const endedAt = play(physics, rates, zones, ways);
    t.ok(ways.every((_, i) => endedAt[i]! > 0));
    let worst = 0;
    for (const side of ['from', 'to'] as const) {
      for (const zone of [0, 1, 2]) {
        const own = [...ways.keys()].filter(
          (i) => ways[i]![side] % 3 === zone && ways[i]!.from % 3 !== ways[i]!.to % 3,
        );
        for (const begin of own.map((i) => ways[i]!.atMs)) {
          for (const finish of own.map((i) => endedAt[i]!)) {
            const inside = own.filter((i) => ways[i]!.atMs >= begin && endedAt[i]! <= finish);
            const bytes = inside.reduce((sum, i) => sum + ways[i]!.bytes, 0);
            if (bytes > 0) worst = Math.max(worst, bytes / ((finish - begin) * zones.rate));
          }
        }
      }
    }
    t.ok(worst <= 1 + 1e-6 && worst > 0.9, `in some span of time ${worst} of the rate`);
  });

  t.test(`${name}: a limit that nothing comes near changes nothing`, async (t) => {
    const rng = createRng(8);
    const rates = Array.from({ length: 12 }, () => 100 + rng.int(100));
    const ways = Array.from({ length: 100 }, () => {
      const from = rng.int(12);
      return way(from, (from + 1 + rng.int(11)) % 12, 1000 + rng.int(20_000), rng.int(500));
    });
    const zones = zonesOf(1e6, ...rates.map((_, end) => end % 2));
    t.same(play(physics, rates, zones, ways), play(physics, rates, undefined, ways));
  });
}

t.test('what a flow does not take of a border, max-min gives to the others', async (t) => {
  const zones = zonesOf(100, 0, 0, 1, 1);
  const ways = [way(0, 2, 2000), way(1, 3, 8000)];
  areNear(t, play(maxMin, [20, 1000, 1000, 1000], zones, ways), [100, 100]);
  // Half of the border for the second one, then all of it.
  areNear(t, play(equalShares, [20, 1000, 1000, 1000], zones, ways), [100, 130]);
});

t.test(
  'a border is shared exactly among 100 flows, then at most 1 % too small, never too large',
  async (t) => {
    const borders = new Borders(zonesOf(1000, 0, 1, 2));
    const crossing = borders.between(0, 1);
    t.equal(borders.between(0, 0), 0);
    t.equal(borders.share(0), Number.POSITIVE_INFINITY);
    let changes = 0;
    let flows = 0;
    const check = (): void => {
      const used = (borders.share(crossing) * flows) / 1000;
      if (used > 1 + 1e-12 || used < (flows <= 100 ? 1 - 1e-12 : 0.99)) t.fail(`${flows} flows use ${used}`);
    };
    for (; flows < 5000; check()) borders.begin(flows++, crossing, () => changes++);
    for (; flows > 1; check()) borders.end(--flows, crossing, () => changes++);
    t.ok(changes < 2_000_000, `${changes} changes of rates; without tolerance 25 million`);
    t.ok(changes > 100_000);
    borders.end(0, crossing, () => t.fail('nobody is left'));
    t.equal(borders.share(crossing), 1000);
  },
);

t.test('each flow is told once of another share, also when both of its borders change', async (t) => {
  const borders = new Borders(zonesOf(1000, 0, 1, 2));
  const told: number[] = [];
  const tell = (flow: number): number => told.push(flow);
  borders.begin(1, borders.between(0, 1), tell);
  borders.begin(2, borders.between(0, 2), tell);
  t.same(told, [1], 'zone 0 lets both out');
  borders.begin(3, borders.between(0, 1), tell);
  t.same(told, [1, 1, 2]);
  borders.end(3, borders.between(0, 1), tell);
  t.same(told, [1, 1, 2, 1, 2]);
  borders.begin(4, borders.between(1, 0), tell);
  t.equal(told.length, 5, 'the other way');
});

const BASE: Scenario = {
  ...COMMON,
  ...{ nodes: 12, seeds: 1, registryRate: 400 * MIB, zones: 4, zoneRate: 10 * MIB },
};

t.test('the links of a scenario: nodes and seeds in their zones, the registry in all', async (t) => {
  const links = zoneLinks({ ...BASE, nodes: 5, seeds: 2, zones: 3 })!;
  t.same([...links.of], [0, 1, 2, 0, 1, 0, 1, -1]);
  t.equal(links.rate, (10 * MIB) / 1000);
  t.equal(zoneLinks({ ...BASE, zones: 1 }), undefined);
  t.equal(zoneLinks({ ...BASE, zoneRate: Number.POSITIVE_INFINITY }), undefined);
});

t.test('the limit knows what must cross borders', async (t) => {
  const ideal = (change: Partial<Scenario>): number => idealSeconds({ ...BASE, ...change });
  t.equal(ideal({ zones: 1 }), 1, 'there is no border');
  t.equal(ideal({ zoneRate: Number.POSITIVE_INFINITY }), 1);
  t.equal(ideal({}), 10, 'zones without a seed import the image');
  t.equal(ideal({ seeds: 3 }), 10);
  t.equal(ideal({ seeds: 4 }), 1, 'each zone reads it from the registry');
  t.equal(ideal({ nodes: 1 }), 1, 'the only node is beside the seed');
  t.equal(ideal({ nodes: 2 }), 10);
  t.equal(ideal({ nodes: 2, seeds: 2 }), 1);
  t.equal(ideal({ zoneRate: 1000 * MIB }), 1, 'the border is wide enough');
  // Each zone gets a quarter of the registry, and the border beside it.
  t.equal(ideal({ seeds: 4, registryRate: 60 * MIB }), 4);
  // Zones 1 to 3 have one seed, and what it does not send comes over the border.
  t.equal(ideal({ seeds: 5, seedRate: 40 * MIB }), 2);
  t.equal(ideal({ seeds: 8, seedRate: 40 * MIB }), Math.max(100 / 90, (12 * 100) / (8 * 40 + 12 * 100), 1));
});
