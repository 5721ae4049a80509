import t from 'tap';
import { type SimulateFlags, simulateCli } from '../../bench/simulate/cli.ts';
import { idealSeconds } from '../../bench/simulate/limit.ts';
import { PROFILES } from '../../bench/simulate/profile.ts';
import { MAX_BLOBS } from '../../bench/simulate/swarm/events.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

function parsed(...args: readonly string[]): SimulateFlags {
  let got: SimulateFlags | undefined;
  simulateCli((flags) => {
    got = flags;
  }).parse([...args], { from: 'user' });
  return got!;
}

await t.test('without flags it is the scenario that the help names', async (t) => {
  t.same(parsed(), {
    json: false,
    compare: false,
    plot: undefined,
    trace: undefined,
    scenario: {
      profile: PROFILES.daemon,
      rngSeed: 1,
      nodes: 1000,
      nodeRate: 300 * MIB,
      seeds: 3,
      seedRate: 1000 * MIB,
      registryRate: 3000 * MIB,
      registryRequestRate: Number.POSITIVE_INFINITY,
      blobs: [{ bytes: GIB, pieceBytes: 2 * MIB, pieces: 512 }],
      latencyMs: 0.2,
      zones: 1,
      zoneLatencyMs: 0.2,
      zoneRate: Number.POSITIVE_INFINITY,
      joinOverMs: 0,
    },
  });
});

await t.test('every flag is read, with the units that people write', async (t) => {
  const cases: readonly (readonly [readonly string[], object])[] = [
    [['--nodes', '10'], { nodes: 10 }],
    [['--blob-bytes', '3GiB'], { blobs: [{ bytes: 3 * GIB, pieceBytes: 4 * MIB, pieces: 768 }] }],
    [['--blob-bytes', '1000'], { blobs: [{ bytes: 1000, pieces: 1 }] }],
    [
      ['--layers', '50MiB,2KiB,400MiB'],
      { blobs: [{ bytes: 50 * MIB }, { bytes: 2048, pieces: 1 }, { bytes: 400 * MIB }] },
    ],
    [['--piece-bytes', '1MiB'], { blobs: [{ bytes: GIB, pieceBytes: MIB, pieces: 1024 }] }],
    [['--node-rate', '1GiB/s'], { nodeRate: GIB }],
    [['--seeds', '2'], { seeds: 2, registryRate: 2000 * MIB }],
    [['--seed-rate', '2GiB/s'], { seedRate: 2 * GIB, registryRate: 6 * GIB }],
    [['--registry-rate', '100MiB/s'], { registryRate: 100 * MIB }],
    [['--registry-requests', '50'], { registryRequestRate: 50 }],
    [['--latency', '1ms'], { latencyMs: 1, zoneLatencyMs: 0.2 }],
    [['--zones', '4'], { zones: 4 }],
    [['--zone-latency', '2ms'], { zoneLatencyMs: 2 }],
    [['--zone-rate', '10GiB/s', '--zones', '4'], { zoneRate: 10 * GIB, zones: 4 }],
    [['--join', 'flash'], { joinOverMs: 0 }],
    [['--join', 'staggered:10s'], { joinOverMs: 10_000 }],
    [['--crash', '10%@5s'], { crash: { share: 0.1, atMs: 5000 } }],
    [['--crash', '0.25@500ms'], { crash: { share: 0.25, atMs: 500 } }],
    [['--slow', '5%@0.1'], { slow: { share: 0.05, rate: 0.1 } }],
    [['--seed-crash', '2@1.5s'], { seedCrash: { count: 2, atMs: 1500 } }],
    [['--seed-crash', '3@1s', '--seeds', '4'], { seedCrash: { count: 3, atMs: 1000 } }],
    [
      ['--site-cut', '2@1.5s', '--zones', '3'],
      { siteCut: { zone: 2, atMs: 1500, forMs: Number.POSITIVE_INFINITY } },
    ],
    [['--site-cut', '0@1s:10s', '--zones', '2'], { siteCut: { zone: 0, atMs: 1000, forMs: 10_000 } }],
    [['--tracker-down', '2s'], { trackerDown: { forMs: 2000, atMs: 1000 } }],
    [['--tracker-down', '2s@0s'], { trackerDown: { forMs: 2000, atMs: 0 } }],
    [['--poison', '5%'], { poison: 0.05 }],
    [['--profile', 'reference'], { profile: PROFILES.reference }],
    [['--have-delay', '25ms'], { profile: { ...PROFILES.daemon, haveDelayMs: 25 } }],
    [['--owners', '2', '--profile', 'reference'], { profile: { ...PROFILES.reference, owners: 2 } }],
    [['--rng-seed', '0'], { rngSeed: 0 }],
  ];
  for (const [args, wanted] of cases) {
    t.match(parsed(...args).scenario, wanted, args.join(' '));
  }
  t.equal(idealSeconds(parsed('--blob-bytes', '3GiB').scenario), 3072 / 300);
  t.match(parsed('--json', '--compare', '--plot', 'a.svg'), { json: true, compare: true, plot: 'a.svg' });
});

await t.test('what the help shows can be run', async (t) => {
  let help = '';
  simulateCli(() => {})
    .configureOutput({ writeOut: (text) => (help += text) })
    .outputHelp();
  const examples = [...help.matchAll(/npm run bench:sim -- (.*)/g)].map(([, args]) => args!.split(' '));
  t.ok(examples.length >= 5);
  for (const args of examples) t.ok(parsed(...args).scenario, args.join(' '));
});

await t.test('a wrong flag is named, with what was expected', async (t) => {
  const many = Array.from({ length: MAX_BLOBS + 1 }, () => '1KiB').join(',');
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['nodes', '0', /a whole number from 1 to 1000000$/],
    ['nodes', '1.5', /a whole number/],
    ['nodes', 'many', /a whole number/],
    ['nodes', '1000001', /a whole number/],
    ['nodes', '500000', /at most 100000000 pieces over all nodes$/],
    ['blob-bytes', 'much', /a size such as/],
    ['blob-bytes', '0', /more than 0 bytes$/],
    ['layers', '1MiB,0', /at most \d+ sizes with more than 0 bytes/],
    ['layers', '1MiB,', /at most \d+ sizes/],
    ['layers', '', /at most \d+ sizes/],
    ['layers', many, new RegExp(`at most ${MAX_BLOBS} sizes`)],
    ['piece-bytes', '1', /at least 256KiB$/],
    ['node-rate', '0', /at least 1KiB\/s$/],
    ['node-rate', '1', /at least 1KiB\/s$/],
    ['seeds', '256', /a whole number from 1 to 255$/],
    ['seed-rate', 'fast', /a rate such as/],
    ['registry-rate', '0', /at least 1KiB\/s$/],
    ['registry-requests', '0', /a whole number/],
    ['latency', 'soon', /a duration such as/],
    ['latency', '2h', /at most 1h$/],
    ['zones', '0', /a whole number from 1 to 255$/],
    ['zone-latency', '-1ms', /a duration such as/],
    ['zone-rate', '1B', /at least 1KiB\/s$/],
    ['join', 'later', /flash or staggered:TIME, such as staggered:10s$/],
    ['join', 'staggered:', /flash or staggered:TIME/],
    ['crash', '10%', /SHARE@TIME, such as 10%@5s$/],
    ['crash', '100%@1s', /SHARE@TIME, such as 10%@5s$/],
    ['crash', '@1s', /SHARE@TIME/],
    ['crash', '10%@1s@2s', /SHARE@TIME/],
    ['slow', '5%@2', /SHARE@RATE, such as 5%@0.1$/],
    ['slow', '5%', /SHARE@RATE/],
    ['slow', '0%@0.1', /SHARE@RATE/],
    ['seed-crash', '3@1s', /COUNT@TIME with fewer than all seeds, such as 1@1.5s$/],
    ['seed-crash', '0@1s', /COUNT@TIME/],
    ['seed-crash', '1', /COUNT@TIME/],
    ['site-cut', '0@1s', /ZONE@TIME or ZONE@TIME:TIME, such as 1@0\.5s:10s, with several --zones/],
    ['tracker-down', 'long', /TIME or TIME@TIME, such as 2s@1s$/],
    ['poison', '1', /a share, such as 5%$/],
    ['poison', 'some', /a share/],
    ['profile', 'fast', /daemon or reference$/],
    ['profile', 'toString', /daemon or reference$/],
    ['have-delay', '', /at most 1h$/],
    ['owners', '0', /a whole number/],
    ['rng-seed', '9007199254740992', /a whole number from 0/],
    ['rng-seed', '-1', /a whole number from 0/],
  ];
  for (const [flag, text, expected] of cases) {
    const cli = simulateCli(() => t.fail('ran'));
    try {
      cli.parse([`--${flag}=${text}`], { from: 'user' });
      t.fail(`--${flag}=${text} was taken`);
    } catch (error) {
      const { message, code } = error as Error & { code: string };
      t.equal(code, 'CONFIG_INVALID', message);
      t.ok(message.startsWith(`--${flag}: got ${JSON.stringify(text)}; expected `), message);
      t.match(message, expected);
    }
  }
});

await t.test('what one of the models does not know is refused before anything runs', async (t) => {
  const cli = simulateCli(() => t.fail('ran'));
  t.throws(() => cli.parse(['--zones', '2', '--zone-rate', '1GiB/s', '--compare'], { from: 'user' }), {
    code: 'CONFIG_INVALID',
    message: /^--zone-rate: got "1GiB\/s"; expected no limit beside --compare/,
  });
  t.ok(parsed('--zones', '2', '--compare'));
});

await t.test('an unknown flag is refused', async (t) => {
  const cli = simulateCli(() => t.fail('ran'))
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  t.throws(() => cli.parse(['--peers', '5'], { from: 'user' }), { code: 'commander.unknownOption' });
  t.throws(() => cli.parse(['5'], { from: 'user' }), { code: 'commander.excessArguments' });
});
