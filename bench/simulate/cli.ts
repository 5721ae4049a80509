import { Command } from 'commander';
import { parseBytes, parseDuration } from '../../lib/config/units.ts';
import { MAX_BLOB_BYTES, MIN_PIECE_BYTES } from '../../lib/core/geometry.ts';
import {
  atPair,
  bytes,
  count,
  duration,
  isNumber,
  isShare,
  maybe,
  parseShare,
  partOf,
  rate,
  read,
  type Texts,
  wrong,
} from './flags.ts';
import { PROFILES } from './profile.ts';
import { pieceCount, type Scenario, simulatedBlob } from './scenario.ts';
import { MAX_BLOBS } from './swarm/events.ts';

/** What the command line asks for. */
export interface SimulateFlags {
  readonly scenario: Scenario;
  readonly json: boolean;
  /** Run models of other schemes too. */
  readonly compare: boolean;
  /** Where to draw the curves. */
  readonly plot: string | undefined;
  /** Where to write what happened on each node, as daemons do: docs/TRACE.md. */
  readonly trace: string | undefined;
}

const EXAMPLES = `
Examples:
  1,000 nodes with 300 MiB/s each pull 1 GiB at the same moment:
    npm run bench:sim -- --nodes 1000 --blob-bytes 1GiB
  10,000 nodes, 3 GiB, for a script:
    npm run bench:sim -- --nodes 10000 --blob-bytes 3GiB --json
  The layers of an image, callers that come within 10 seconds, and a picture:
    npm run bench:sim -- --layers 50MiB,2KiB,400MiB --join staggered:10s --plot pull.svg
  What happened on each node, and a picture of it beside a real pull (docs/TRACE.md):
    npm run bench:sim -- --nodes 20 --blob-bytes 40MiB --trace simulated.jsonl
    npm run bench:plot -- pull.jsonl simulated.jsonl -o pull.svg
  Machines that die, machines that are slow, a supernode that dies:
    npm run bench:sim -- --crash 10%@1s
    npm run bench:sim -- --slow 5%@0.1
    npm run bench:sim -- --seed-crash 1@0.5s
  Four zones, 2 ms apart, and what crosses between them:
    npm run bench:sim -- --zones 4 --zone-latency 2ms
  One of four sites is cut off from the others after half a second, for 10 seconds:
    npm run bench:sim -- --zones 4 --seeds 4 --site-cut 1@0.5s:10s
  Beside models of other schemes, under the same physics:
    npm run bench:sim -- --nodes 500 --compare

A ratio of 1.00 is the physical limit: no scheme can do better with these links.
The same flags and --rng-seed give the same numbers to the digit (wallSeconds and peakRssBytes apart).
Exit codes: 0 done, 1 the simulated swarm came to a halt, 2 a flag has a wrong value.
`;

/** Pieces beyond this take more memory than one process should: 2^31 bits of knowledge about neighbours. */
const MAX_NODE_PIECES = 100_000_000;
/** Lines of some 250 bytes, and kept until the end. */
const MAX_TRACED_PIECES = 1_000_000;
const MAX_SEED = 2 ** 53 - 1;

/** The command; `run` gets what it was asked for. */
export function simulateCli(run: (flags: SimulateFlags) => void): Command {
  return new Command('bench:sim')
    .description(
      'Simulates thousands of nodes that pull an image, with the decision code of the real daemons.',
    )
    .option('--nodes <count>', 'nodes that pull the image', '1000')
    .option('--blob-bytes <size>', 'size of an image of one layer', '1GiB')
    .option('--layers <sizes>', 'sizes of the layers instead, separated by commas, in manifest order')
    .option('--piece-bytes <size>', 'size of a piece (default: as for a real blob of that size)')
    .option('--node-rate <rate>', 'upload and download of a node', '300MiB/s')
    .option('--seeds <count>', 'supernodes', '3')
    .option('--seed-rate <rate>', 'upload of a supernode', '1000MiB/s')
    .option('--registry-rate <rate>', 'what the registry sends in all (default: as much as all supernodes)')
    .option(
      '--registry-requests <count>',
      'requests a second that the registry answers (default: any number)',
    )
    .option('--latency <time>', 'one way between two machines', '0.2ms')
    .option('--zones <count>', 'zones, with equally many nodes in each', '1')
    .option('--zone-latency <time>', 'one way between machines of different zones', '0.2ms')
    .option(
      '--zone-rate <rate>',
      'what all machines of a zone send to other zones, and get (default: no limit)',
    )
    .option('--join <how>', 'flash, or staggered:10s for callers that come within 10 seconds', 'flash')
    .option('--crash <share@time>', 'nodes that die without a word, such as 10%@5s')
    .option('--slow <share@rate>', 'nodes with a part of the rate, such as 5%@0.1')
    .option('--seed-crash <count@time>', 'supernodes that die, such as 1@1.5s')
    .option(
      '--site-cut <zone@time[:time]>',
      'nothing passes the border of that zone (0 is the first) from then on, for so long (default: to the end); each zone has a registry and a tracker',
    )
    .option('--tracker-down <time[@time]>', 'the tracker is gone for so long, from then on (default @1s)')
    .option('--poison <share>', 'nodes that send wrong bytes, such as 5%')
    .option(
      '--profile <name>',
      'daemon: with the costs of real processes; reference: bandwidth alone',
      'daemon',
    )
    .option(
      '--have-delay <time>',
      'how long a node collects news of its pieces (default: as the profile says)',
    )
    .option('--owners <count>', 'supernodes that read one layer together (default: as the profile says)')
    .option('--rng-seed <number>', 'another number, another run', '1')
    .option('--compare', 'run models of other schemes too', false)
    .option('--plot <file>', 'draw how many nodes are done when, as SVG')
    .option('--trace <file>', 'write when each piece came to each node, as daemons do (docs/TRACE.md)')
    .option('--json', 'print one JSON object', false)
    .allowExcessArguments(false)
    .addHelpText('after', EXAMPLES)
    .action((texts: Texts) =>
      run({
        scenario: readScenario(texts),
        json: texts['json'] === true,
        compare: texts['compare'] === true,
        plot: typeof texts['plot'] === 'string' ? texts['plot'] : undefined,
        trace: typeof texts['trace'] === 'string' ? texts['trace'] : undefined,
      }),
    );
}

function readScenario(texts: Texts): Scenario {
  const seeds = count(texts, 'seeds', 255);
  const seedRate = rate(texts, 'seed-rate');
  const scenario: Scenario = {
    profile: readProfile(texts),
    rngSeed: read(texts, 'rng-seed', Number, isNumber(0, MAX_SEED), `a whole number from 0 to ${MAX_SEED}`),
    nodes: count(texts, 'nodes', 1_000_000),
    nodeRate: rate(texts, 'node-rate'),
    seeds,
    seedRate,
    registryRate: maybe(texts, 'registry-rate', () => rate(texts, 'registry-rate')) ?? seeds * seedRate,
    registryRequestRate:
      maybe(texts, 'registry-requests', () => count(texts, 'registry-requests', 1e9)) ??
      Number.POSITIVE_INFINITY,
    blobs: readBlobs(texts),
    latencyMs: duration(texts, 'latency'),
    zones: count(texts, 'zones', 255),
    zoneLatencyMs: duration(texts, 'zone-latency'),
    zoneRate: maybe(texts, 'zone-rate', () => rate(texts, 'zone-rate')) ?? Number.POSITIVE_INFINITY,
    joinOverMs: read(
      texts,
      'join',
      parseJoin,
      (ms) => ms >= 0,
      'flash or staggered:TIME, such as staggered:10s',
    ),
    ...readFaults(texts),
  };
  if (texts['compare'] === true && scenario.zoneRate !== Number.POSITIVE_INFINITY) {
    throw wrong(texts, 'zone-rate', 'no limit beside --compare: the model of whole layers knows none');
  }
  if (texts['compare'] === true && scenario.siteCut !== undefined) {
    throw wrong(texts, 'site-cut', 'none beside --compare: the other models have no sites');
  }
  if (scenario.nodes * pieceCount(scenario) > MAX_NODE_PIECES) {
    throw wrong(texts, 'nodes', `at most ${MAX_NODE_PIECES} pieces over all nodes`);
  }
  if (texts['trace'] !== undefined && scenario.nodes * pieceCount(scenario) > MAX_TRACED_PIECES) {
    throw wrong(texts, 'trace', `at most ${MAX_TRACED_PIECES} pieces over all nodes`);
  }
  return scenario;
}

function readProfile(texts: Texts): Scenario['profile'] {
  const name = read(texts, 'profile', String, (text) => Object.hasOwn(PROFILES, text), 'daemon or reference');
  const profile = PROFILES[name as keyof typeof PROFILES];
  return {
    ...profile,
    haveDelayMs: maybe(texts, 'have-delay', () => duration(texts, 'have-delay')) ?? profile.haveDelayMs,
    owners: maybe(texts, 'owners', () => count(texts, 'owners', 255)) ?? profile.owners,
  };
}

function readBlobs(texts: Texts): Scenario['blobs'] {
  const pieceBytes = maybe(texts, 'piece-bytes', () =>
    bytes(texts, 'piece-bytes', MIN_PIECE_BYTES, 'at least 256KiB'),
  );
  const sizes = maybe(texts, 'layers', () =>
    read(
      texts,
      'layers',
      (text) => text.split(',').map(partOf(parseBytes)),
      (layers) => layers.length <= MAX_BLOBS && layers.every((size) => size > 0 && size <= MAX_BLOB_BYTES),
      `at most ${MAX_BLOBS} sizes with more than 0 bytes, such as 50MiB,2KiB`,
    ),
  ) ?? [bytes(texts, 'blob-bytes', 1, 'more than 0 bytes')];
  return sizes.map((size) => simulatedBlob(size, pieceBytes));
}

const durationOf = partOf(parseDuration);

function parseJoin(text: string): number {
  if (text === 'flash') return 0;
  return text.startsWith('staggered:') ? durationOf(text.slice('staggered:'.length)) : Number.NaN;
}

function readFaults(texts: Texts): Partial<Scenario> {
  const [seeds, zones] = [count(texts, 'seeds', 255), count(texts, 'zones', 255)];
  const pair = <T>(
    flag: string,
    parse: (text: string) => T,
    valid: (value: T) => boolean,
    expected: string,
  ) => maybe(texts, flag, () => read(texts, flag, parse, valid, expected));
  const crash = pair(
    'crash',
    (text) => ({ share: parseShare(atPair(text)[0]), atMs: durationOf(atPair(text)[1]) }),
    ({ share, atMs }) => isShare(share) && atMs >= 0,
    'SHARE@TIME, such as 10%@5s',
  );
  const slow = pair(
    'slow',
    (text) => ({ share: parseShare(atPair(text)[0]), rate: Number(atPair(text)[1] || Number.NaN) }),
    (value) => isShare(value.share) && isShare(value.rate),
    'SHARE@RATE, such as 5%@0.1',
  );
  const seedCrash = pair(
    'seed-crash',
    (text) => ({ count: Number(atPair(text)[0]), atMs: durationOf(atPair(text)[1]) }),
    (value) => isNumber(1, count(texts, 'seeds', 255) - 1)(value.count) && value.atMs >= 0,
    'COUNT@TIME with fewer than all seeds, such as 1@1.5s',
  );
  const trackerDown = pair(
    'tracker-down',
    (text) => {
      const [forText, atText] = atPair(text, '1s');
      return { forMs: durationOf(forText), atMs: durationOf(atText) };
    },
    ({ forMs, atMs }) => forMs >= 0 && atMs >= 0,
    'TIME or TIME@TIME, such as 2s@1s',
  );
  const siteCut = pair(
    'site-cut',
    (text) => {
      const [zone, when] = atPair(text);
      const [at = '', forText, ...more] = when.split(':');
      const forMs = forText === undefined ? Number.POSITIVE_INFINITY : durationOf(forText);
      return {
        zone: Number(zone || Number.NaN),
        atMs: durationOf(at),
        forMs: more.length > 0 ? Number.NaN : forMs,
      };
    },
    ({ atMs, forMs, zone }) =>
      isNumber(0, zones - 1)(zone) && zones > 1 && seeds >= zones && atMs >= 0 && forMs > 0,
    'ZONE@TIME or ZONE@TIME:TIME, such as 1@0.5s:10s, with several --zones and as many --seeds at least',
  );
  const poison = pair('poison', parseShare, isShare, 'a share, such as 5%');
  return {
    ...(crash && { crash }),
    ...(slow && { slow }),
    ...(seedCrash && { seedCrash }),
    ...(siteCut && { siteCut }),
    ...(trackerDown && { trackerDown }),
    ...(poison !== undefined && { poison }),
  };
}
