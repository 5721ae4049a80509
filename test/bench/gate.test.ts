import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { report } from '../../bench/simulate/report.ts';
import { type Scenario, simulatedBlob } from '../../bench/simulate/scenario.ts';
import { Simulation } from '../../bench/simulate/swarm/simulation.ts';

const MIB = 1024 * 1024;
const RNG_SEEDS = [1, 2, 3];
/** Above the recorded value by more than this is a step back. */
const TOLERANCE = 0.01;
const RECORD = join('bench', 'simulate', 'recorded.json');

/** Six runs take half a minute where other tests run beside them. */
const TIMEOUT_MS = 120_000;

type ProfileName = keyof typeof PROFILES;
type Recorded = Readonly<Record<ProfileName, { readonly p999: number }>>;

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', RECORD), 'utf8')) as Recorded;

function scenario(profile: ProfileName, rngSeed: number): Scenario {
  return {
    profile: PROFILES[profile],
    rngSeed,
    nodes: 1000,
    nodeRate: 300 * MIB,
    seeds: 3,
    seedRate: 1000 * MIB,
    registryRate: 3000 * MIB,
    registryRequestRate: Number.POSITIVE_INFINITY,
    blobs: [simulatedBlob(1024 * MIB, 4 * MIB)],
    latencyMs: 0.2,
    zones: 1,
    zoneLatencyMs: 0.2,
    zoneRate: Number.POSITIVE_INFINITY,
    joinOverMs: 0,
  };
}

/** p99.9 over the physical limit, of the worst RNG seed. */
function worstP999(profile: ProfileName): number {
  const ratios = RNG_SEEDS.map((rngSeed) => {
    const one = scenario(profile, rngSeed);
    const outcome = new Simulation(one).run(() => {});
    return report('damselfly', one, outcome, { seconds: 0, peakRssBytes: 0 }).ratio.p999;
  });
  return Math.max(...ratios);
}

t.setTimeout(TIMEOUT_MS);

// 1,000 nodes pull 1 GiB in 256 pieces: small enough for every test run, large enough to see a worse decision.
await t.test('the crowd comes as near to the physical limit as was recorded', async (t) => {
  const measured = {
    reference: { p999: worstP999('reference') },
    daemon: { p999: worstP999('daemon') },
  } satisfies Recorded;
  for (const profile of ['reference', 'daemon'] as const) {
    const [was, is] = [recorded[profile].p999, measured[profile].p999];
    const told = `${profile}: p99.9 was recorded as ${was} x the physical limit and came out as ${is.toFixed(4)}`;
    if (is <= was + TOLERANCE) {
      t.pass(told);
    } else {
      t.fail(
        `${told}; ${TOLERANCE} more is allowed. If that is meant to be, put this into ${RECORD}:\n${recordText(measured)}`,
      );
    }
  }
});

function recordText(measured: Recorded): string {
  const lines = Object.entries(measured).map(
    ([profile, { p999 }]) => `  "${profile}": { "p999": ${p999.toFixed(4)} }`,
  );
  return `{\n${lines.join(',\n')}\n}`;
}
