import t from 'tap';
import { FanOut } from '../../bench/simulate/models/fan-out.ts';
import { equalShares, Flows } from '../../bench/simulate/physics/flows.ts';
import type { FluidLinks, Physics, ZoneLinks } from '../../bench/simulate/physics/fluid-links.ts';
import { MaxMinFlows } from '../../bench/simulate/physics/max-min.ts';
import { TimingWheel } from '../../bench/simulate/physics/wheel.ts';
import { createRng, type Rng } from '../../lib/runtime/rng.ts';

const FLOW_ENDS = 0;
const DO = 1;
/** An event may come a bucket of the wheel late, and a flow may have waited for a few of them. */
const LATE_MS = 0.1;

/** Links with a clock. Rates in bytes per millisecond, times in milliseconds. */
class Network {
  readonly wheel = new TimingWheel();
  readonly links: FluidLinks;
  /** Flow -> when it ended. */
  readonly endedAt = new Map<number, number>();
  readonly #actions: (() => void)[] = [];

  constructor(make: Physics, rates: readonly number[], zones?: ZoneLinks) {
    this.links = make(Float64Array.from(rates), this.wheel, FLOW_ENDS, zones);
  }

  start(from: number, to: number, bytes: number): number {
    const flow = this.links.open(from, to, bytes);
    this.links.start(flow);
    return flow;
  }

  at(ms: number, action: () => void): void {
    this.wheel.add(ms, DO, this.#actions.push(action) - 1, 0, 0, 0);
  }

  /** @param enough ends the run early */
  run(enough = (): boolean => false): void {
    while (!enough() && this.wheel.next()) {
      const { kind, a, b, now } = this.wheel;
      if (kind === DO) this.#actions[a]!();
      else if (this.links.ended(a, b)) this.endedAt.set(a, now);
    }
  }
}

function isNear(t: Tap, got: number | undefined, wanted: number, told: string): void {
  t.ok(got !== undefined && Math.abs(got - wanted) <= LATE_MS, `${told}: ${got} instead of ${wanted}`);
}
type Tap = Pick<typeof t, 'ok'>;

interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  startedAt: number;
  endedAt: number;
}

/** Random traffic, run to its end. */
function traffic(
  make: Physics,
  rng: Rng,
): { readonly rates: readonly number[]; readonly transfers: Transfer[] } {
  const rates = Array.from({ length: 12 }, () => 100 + rng.int(1000));
  const network = new Network(make, rates);
  const transfers: Transfer[] = [];
  const transferOf = new Map<number, Transfer>();
  for (let i = 0; i < 300; i++) {
    const from = rng.int(rates.length);
    const to = (from + 1 + rng.int(rates.length - 1)) % rates.length;
    const transfer = { from, to, bytes: 1000 + rng.int(100_000), startedAt: 0, endedAt: Number.NaN };
    transfers.push(transfer);
    network.at(rng.int(2000), () => {
      transfer.startedAt = network.wheel.now;
      transferOf.set(network.start(from, to, transfer.bytes), transfer);
    });
  }
  network.run();
  for (const [flow, transfer] of transferOf) transfer.endedAt = network.endedAt.get(flow) ?? Number.NaN;
  return { rates, transfers };
}

/** Rates of flows that all run at once: each in turn has so few bytes that it ends before the others. */
function ratesOf(
  make: Physics,
  rates: readonly number[],
  ways: readonly (readonly [number, number])[],
): number[] {
  return ways.map((_, probed) => {
    const network = new Network(make, rates);
    // Enough for some hundred milliseconds, so that the buckets of the wheel do not blur the rate.
    const bytes = 100_000;
    const flows = ways.map(([from, to], i) => network.start(from, to, i === probed ? bytes : 1e12));
    network.run(() => network.endedAt.size > 0);
    return bytes / network.endedAt.get(flows[probed]!)!;
  });
}

const maxMin: Physics = (rates, wheel, kind, zones) => new MaxMinFlows(rates, wheel, kind, zones);

for (const [name, make] of [
  ['equal share', equalShares],
  ['max-min', maxMin],
] as const) {
  t.test(`${name}: one flow runs at the smaller rate of its ends`, async (t) => {
    for (const rates of [
      [20, 50],
      [50, 20],
    ]) {
      const network = new Network(make, rates);
      const flow = network.start(0, 1, 2000);
      t.same(network.links.into(1), [flow]);
      t.same(network.links.into(0), []);
      t.same([network.links.from[flow], network.links.to[flow]], [0, 1]);
      network.run();
      isNear(t, network.endedAt.get(flow), 100, String(rates));
      t.same(network.links.into(1), []);
    }
  });

  t.test(`${name}: flows of an end share it equally, both ways`, async (t) => {
    const out = new Network(make, [100, 1000, 1000, 1000, 1000]);
    const into = new Network(make, [100, 1000, 1000, 1000, 1000]);
    for (let other = 1; other <= 4; other++) {
      out.start(0, other, 1000);
      into.start(other, 0, 1000);
    }
    for (const network of [out, into]) {
      network.run();
      t.equal(network.endedAt.size, 4);
      for (const endedAt of network.endedAt.values()) isNear(t, endedAt, 40, 'a quarter of the rate each');
    }
  });

  t.test(`${name}: an end that has something to send sends at its rate`, async (t) => {
    const network = new Network(make, [100, ...Array.from({ length: 10 }, () => 1000)]);
    let bytes = 0;
    for (let other = 1; other <= 10; other++) {
      network.start(0, other, other * 1000);
      bytes += other * 1000;
    }
    network.run();
    isNear(t, Math.max(...network.endedAt.values()), bytes / 100, 'the last one ends');
    isNear(t, Math.min(...network.endedAt.values()), (1000 * 10) / 100, 'the smallest one ends');
  });

  t.test(`${name}: both ways of an end are apart`, async (t) => {
    const network = new Network(make, [100, 100]);
    network.start(0, 1, 1000);
    network.start(1, 0, 1000);
    network.run();
    for (const endedAt of network.endedAt.values()) isNear(t, endedAt, 10, 'at the full rate');
  });

  t.test(`${name}: a flow that slows down and speeds up keeps what it has`, async (t) => {
    const network = new Network(make, [1000, 1000, 1000]);
    const long = network.start(0, 1, 100_000);
    let short = -1;
    network.at(50, () => {
      short = network.start(0, 2, 20_000);
    });
    network.run();
    isNear(t, network.endedAt.get(short), 90, 'the short one');
    isNear(t, network.endedAt.get(long), 120, 'the long one');
  });

  t.test(`${name}: a stopped flow never ends, and its number serves again`, async (t) => {
    const network = new Network(make, [1000, 1000, 1000]);
    const stays = network.start(0, 1, 100_000);
    const goes = network.start(0, 2, 30_000);
    let next = -1;
    network.at(20, () => {
      network.links.stop(goes);
      t.same(network.links.into(2), []);
    });
    network.at(30, () => {
      network.links.release(goes);
      next = network.links.open(1, 2, 50_000);
      t.equal(next, goes, 'the number is used again');
      t.same(network.links.into(2), [], 'a flow that is open does not run');
    });
    network.at(40, () => network.links.start(next));
    network.run();
    // 10 000 bytes in 20 ms, the rest at the full rate.
    isNear(t, network.endedAt.get(stays), 110, 'the one that stays');
    isNear(t, network.endedAt.get(next), 90, 'the next one, which the old events do not end');
  });

  t.test(`${name}: more flows than there was room for at first`, async (t) => {
    const network = new Network(make, [1000, 1000]);
    for (let i = 0; i < 1100; i++) network.links.open(0, 1, 1);
    const flow = network.start(0, 1, 1000);
    t.equal(flow, 1100);
    network.run();
    isNear(t, network.endedAt.get(flow), 1, 'the last one');
  });

  t.test(`${name}: in random traffic no end ever carries more than its rate, and all arrives`, async (t) => {
    for (const seed of [1, 2, 3]) {
      const { rates, transfers } = traffic(make, createRng(seed));
      t.ok(
        transfers.every(({ endedAt }) => endedAt > 0),
        'all end',
      );
      let worst = 0;
      for (const way of ['from', 'to'] as const) {
        for (const [end, rate] of rates.entries()) {
          const own = transfers.filter((transfer) => transfer[way] === end);
          for (const { startedAt: begin } of own) {
            for (const { endedAt: finish } of own) {
              const inside = own.filter((each) => each.startedAt >= begin && each.endedAt <= finish);
              const bytes = inside.reduce((sum, each) => sum + each.bytes, 0);
              if (bytes > 0) worst = Math.max(worst, bytes / ((finish - begin) * rate));
            }
          }
        }
      }
      t.ok(worst <= 1 + 1e-6, `in some span of time ${worst} of the rate`);
      t.ok(worst > 0.9, `busy ends are used: ${worst}`);
    }
  });

  t.test(`${name}: the same traffic gives the same times`, async (t) => {
    t.same(traffic(make, createRng(4)), traffic(make, createRng(4)));
  });
}

t.test('what a receiver does not take, max-min gives to the others', async (t) => {
  const rates = [10, 100, 4, 100];
  const ways = [
    [0, 1],
    [0, 2],
    [3, 2],
  ] as const;
  const rounded = (make: Physics): number[] =>
    ratesOf(make, rates, ways).map((rate) => Math.round(rate * 1000) / 1000);
  t.same(rounded(maxMin), [8, 2, 2]);
  t.same(rounded(equalShares), [5, 2, 2]);
});

t.test('max-min: each flow has a full end at which no other flow is faster', async (t) => {
  for (const seed of [1, 2, 3, 4]) {
    const rng = createRng(seed);
    const rates = Array.from({ length: 10 }, () => 50 + rng.int(500));
    const ways = Array.from({ length: 40 }, () => {
      const from = rng.int(10);
      return [from, (from + 1 + rng.int(9)) % 10] as const;
    });
    const flowRates = ratesOf(maxMin, rates, ways);
    const load = (side: 0 | 1, end: number): number =>
      flowRates.reduce((sum, rate, flow) => sum + (ways[flow]![side] === end ? rate : 0), 0);
    for (const [flow, way] of ways.entries()) {
      const isHeldBackAt = (side: 0 | 1): boolean => {
        const fastest = Math.max(...flowRates.filter((_, other) => ways[other]![side] === way[side]));
        const isFull = load(side, way[side]) > rates[way[side]]! * 0.998;
        return isFull && flowRates[flow]! > fastest * 0.998;
      };
      t.ok(isHeldBackAt(0) || isHeldBackAt(1), `graph ${seed}, flow ${flow} at ${flowRates[flow]}`);
    }
    for (const [end, rate] of rates.entries()) {
      t.ok(load(0, end) < rate * 1.001 && load(1, end) < rate * 1.001, `end ${end} carries what it can`);
    }
  }
});

t.test('the fast physics of whole layers are those of equal shares', async (t) => {
  for (const seed of [1, 2, 3]) {
    const rng = createRng(seed);
    const rates = Float64Array.from({ length: 30 }, () => 100 + rng.int(4) * 100);
    const transfers = Array.from({ length: 300 }, () => {
      const from = rng.int(5);
      return {
        from,
        to: 5 + rng.int(25),
        bytes: 1000 + rng.int(50_000),
        atMs: rng.int(1000),
        dropped: rng.int(20) === 0,
      };
    });
    const play = (isFast: boolean): number[] => {
      const wheel = new TimingWheel();
      const fast = new FanOut(rates, transfers.length, wheel, 0);
      const flows = new Flows(rates, wheel, 0);
      const flowOf: number[] = [];
      const endedAt = transfers.map(() => -1);
      transfers.forEach(({ atMs, dropped }, i) => {
        wheel.add(atMs, 1, i, 0, 0, 0);
        if (dropped) wheel.add(atMs + 20, 2, i, 0, 0, 0);
      });
      while (wheel.next()) {
        const { kind, a, b, now } = wheel;
        if (kind === 0 && isFast) for (const i of fast.ended(a, b)) endedAt[i] = now;
        else if (kind === 0 && flows.ended(a, b)) endedAt[flowOf.indexOf(a)] = now;
        else if (kind === 1) {
          const { from, to, bytes } = transfers[a]!;
          flowOf[a] = isFast ? a : flows.open(from, to, bytes);
          if (isFast) fast.start(a, from, to, bytes);
          else flows.start(flowOf[a]);
        } else if (kind === 2 && endedAt[a] === -1) {
          if (isFast) fast.stop(a);
          else flows.stop(flowOf[a]!);
          endedAt[a] = -2;
        }
      }
      return endedAt;
    };
    const [got, wanted] = [play(true), play(false)];
    const worst = got.reduce((most, at, i) => Math.max(most, Math.abs(at - wanted[i]!)), 0);
    t.ok(worst < 0.5, `flow ends differ by ${worst} ms at most`);
    t.ok(wanted.includes(-2) && !wanted.includes(-1), 'some were stopped, the others ended');
  }
});
