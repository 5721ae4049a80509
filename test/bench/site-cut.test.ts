import t from 'tap';
import type { Outcome } from '../../bench/simulate/outcome.ts';
import { Flows } from '../../bench/simulate/physics/flows.ts';
import type { Physics } from '../../bench/simulate/physics/fluid-links.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { report } from '../../bench/simulate/report.ts';
import { type Scenario, simulatedBlob, zoneOf } from '../../bench/simulate/scenario.ts';
import { BASE, imageBytesOf, MIB, originRatio, simulate } from './simulated.ts';

/** Four sites; a gateway brings the image into its site in about three seconds. */
const SITES = {
  ...{ nodes: 40, nodeRate: 50 * MIB, zones: 4, seeds: 8, seedRate: 60 * MIB, registryRate: 480 * MIB },
  blobs: [simulatedBlob(120 * MIB, MIB), simulatedBlob(24 * MIB, MIB)],
};
const CUT = { zone: 1, atMs: 800 };
const TO_THE_END = Number.POSITIVE_INFINITY;

/** Equal shares that are told when each flow starts and stops. */
function watched(told: (from: number, to: number, startedMs: number, stoppedMs: number) => void): Physics {
  return (rates, wheel, kind, zones) => {
    const flows = new Flows(rates, wheel, kind, zones);
    const started = new Map<number, number>();
    const over = (flow: number): void => {
      told(flows.from[flow]!, flows.to[flow]!, started.get(flow)!, wheel.now);
      started.delete(flow);
    };
    return Object.assign(Object.create(flows) as Flows, {
      get from() {
        return flows.from;
      },
      get to() {
        return flows.to;
      },
      into: (end: number) => flows.into(end),
      outOf: (end: number) => flows.outOf(end),
      open: (from: number, to: number, bytes: number) => flows.open(from, to, bytes),
      release: (flow: number) => flows.release(flow),
      start(flow: number) {
        started.set(flow, wheel.now);
        flows.start(flow);
      },
      stop(flow: number) {
        over(flow);
        flows.stop(flow);
      },
      ended(flow: number, version: number) {
        const isOver = flows.ended(flow, version);
        if (isOver) over(flow);
        return isOver;
      },
    });
  };
}

const slowest = (outcome: Outcome, within: (zone: number) => boolean): number =>
  Math.max(...outcome.seconds.filter((_, node) => within(zoneOf({ ...BASE, ...SITES }, node))));

for (const each of Object.values(PROFILES)) {
  // Sooner than nodes lose their patience, and read for themselves.
  const profile = { ...each, linkLostMs: 3000 };
  const run = (change: Partial<Scenario>, physics?: Physics): Outcome =>
    simulate({ ...SITES, profile, ...change }, physics);

  for (const [name, forMs, joinOverMs] of [
    ['to the end', TO_THE_END, 0],
    ['so briefly that nobody notices', 1500, 0],
    ['for long', 8000, 0],
    ['while callers come', 8000, 12_000],
  ] as const) {
    t.test(`a site cut off ${name}, ${profile.name}`, async (t) => {
      const siteCut = { ...CUT, forMs };
      const crossing: number[] = [];
      const physics = watched((from, to, startedMs, stoppedMs) => {
        const ends = [from, to].filter((end) => end < SITES.nodes + SITES.seeds);
        const zones = ends.map((end) => zoneOf({ ...BASE, ...SITES }, end));
        const isCrossing = ends.length === 2 && zones[0] !== zones[1] && zones.includes(CUT.zone);
        if (isCrossing && startedMs < CUT.atMs + forMs && stoppedMs > CUT.atMs) crossing.push(startedMs);
      });
      const outcome = run({ siteCut, joinOverMs }, physics);
      t.ok(
        outcome.seconds.every((seconds) => seconds > 0),
        'every node has everything',
      );
      t.same(crossing, [], 'nothing passes the border meanwhile');
      const crossed = outcome.crossZoneBytes / imageBytesOf(SITES);
      const total = originRatio(outcome, SITES) + crossed;
      t.ok(
        Math.abs(total - SITES.zones) < 1e-9,
        `each byte comes into each site once, from a registry or another site: ${total}`,
      );
      t.same(run({ siteCut, joinOverMs }), outcome, 'the same numbers come again');
    });
  }

  t.test(`what a cut costs, ${profile.name}`, async (t) => {
    const whole = run({});
    const everybody = (): boolean => true;
    const away = (zone: number): boolean => zone === CUT.zone;
    const brief = run({ siteCut: { ...CUT, forMs: 1000 } });
    t.equal(originRatio(brief, SITES), 1, 'nothing is read again for a brief one');
    t.ok(slowest(brief, everybody) <= slowest(whole, everybody) + 1.3, `${slowest(brief, everybody)} s`);

    const long = run({ siteCut: { ...CUT, forMs: TO_THE_END } });
    t.ok(originRatio(long, SITES) > 1 && originRatio(long, SITES) <= 2, `${originRatio(long, SITES)}x`);
    // Trackers notice after 3 s; then it reads what it lacks from its own registry.
    const [inside, outside] = [slowest(long, away), slowest(long, (zone) => !away(zone))];
    t.ok(inside > 3 && inside < 0.8 + 3 + slowest(whole, everybody), `${inside} s in the site`);
    t.ok(outside <= inside + 1, `${outside} s elsewhere`);

    const late = run({ siteCut: { ...CUT, atMs: 60_000, forMs: 1 } });
    t.same(late.seconds, whole.seconds, 'who has everything does not notice');
  });
}

t.test(
  'a crowd that is cut early brings each byte into each site once, and no site waits for another',
  async (t) => {
    // As many seeds as sites, one each: the lost one's part is dealt anew.
    const crowd = {
      ...{ profile: PROFILES.daemon, nodes: 300, nodeRate: 300 * MIB, zones: 4, seeds: 4 },
      ...{ seedRate: 1000 * MIB, registryRate: 4000 * MIB, blobs: [simulatedBlob(1024 * MIB)] },
    };
    const siteCut = { zone: 1, atMs: 500, forMs: TO_THE_END };
    const outcome = simulate({ ...crowd, siteCut });
    const total = originRatio(outcome, crowd) + outcome.crossZoneBytes / imageBytesOf(crowd);
    t.ok(Math.abs(total - crowd.zones) < 1e-9, `${total}x`);
    const lasts = [0, 1, 2, 3].map((zone) =>
      Math.max(...outcome.seconds.filter((_, node) => zoneOf({ ...BASE, ...crowd }, node) === zone)),
    );
    t.ok(Math.max(...lasts) - Math.min(...lasts) < 2, `${lasts.join(', ')} s`);
  },
);

t.test('the report tells of it', async (t) => {
  const scenario: Scenario = { ...BASE, ...SITES, siteCut: { ...CUT, forMs: TO_THE_END } };
  const outcome = simulate(scenario);
  const told = report('damselfly', scenario, outcome, { seconds: 1, peakRssBytes: 1 });
  t.match(told.siteCut, { zone: 1, atSeconds: 0.8, forSeconds: null });
  t.equal(
    told.siteCut?.seconds.max,
    slowest(outcome, (zone) => zone === 1),
  );
  const whole: Scenario = { ...BASE, ...SITES };
  t.notOk('siteCut' in report('damselfly', whole, simulate(whole), { seconds: 1, peakRssBytes: 1 }));
});
