import { Command } from 'commander';
import { parseBytes, parseDuration, parseRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { MIN_PIECE_BYTES, pieceBytesFor } from '../../lib/core/geometry.ts';
import type { Scenario } from './scenario.ts';

/** What the command line asks for. */
export interface SimulateFlags {
  readonly scenario: Scenario;
  readonly json: boolean;
}

const EXAMPLES = `
Examples:
  1,000 nodes with 300 MiB/s each pull 1 GiB at the same moment:
    npm run bench:sim -- --nodes 1000 --blob-bytes 1GiB
  10,000 nodes, 3 GiB, for a script:
    npm run bench:sim -- --nodes 10000 --blob-bytes 3GiB --json
  A single seed with hardly more than a node has:
    npm run bench:sim -- --seeds 1 --seed-rate 330MiB/s
  Slow wires between the machines:
    npm run bench:sim -- --latency 2ms

A ratio of 1.00 is the physical limit: no scheme can do better with these links.
The same flags and --rng-seed give the same numbers to the digit (wallSeconds and peakRssBytes apart).
Exit codes: 0 done, 1 the simulated swarm came to a halt, 2 a flag has a wrong value.
`;

/** Pieces beyond this take more memory than one process should: 2^31 bits of knowledge about neighbours. */
const MAX_NODE_PIECES = 100_000_000;
const MAX_SEED = 2 ** 53 - 1;

type Texts = Readonly<Record<string, string | boolean | undefined>>;

/** The command; `run` gets what it was asked for. */
export function simulateCli(run: (flags: SimulateFlags) => void): Command {
  return new Command('bench:sim')
    .description(
      'Simulates thousands of nodes that pull one blob, with the decision code of the real daemons.',
    )
    .option('--nodes <count>', 'nodes that pull the blob, all at once', '1000')
    .option('--blob-bytes <size>', 'size of the blob', '1GiB')
    .option('--piece-bytes <size>', 'size of a piece (default: as for a real blob of that size)')
    .option('--node-rate <rate>', 'upload and download of a node', '300MiB/s')
    .option('--seeds <count>', 'supernodes, which share the blob between them', '3')
    .option('--seed-rate <rate>', 'upload of a supernode', '1000MiB/s')
    .option('--registry-rate <rate>', 'what the registry gives all supernodes (default: their whole upload)')
    .option('--latency <time>', 'one way between two machines', '0.2ms')
    .option('--have-delay <time>', 'how long a node collects news before it tells its neighbours', '10ms')
    .option('--rng-seed <number>', 'another number, another run', '1')
    .option('--json', 'print one JSON object', false)
    .allowExcessArguments(false)
    .addHelpText('after', EXAMPLES)
    .action((texts: Texts) => run({ scenario: readScenario(texts), json: texts['json'] === true }));
}

function readScenario(texts: Texts): Scenario {
  const seeds = count(texts, 'seeds', 255);
  const seedRate = rate(texts, 'seed-rate');
  const blobBytes = read(texts, 'blob-bytes', parseBytes, (value) => value > 0, 'more than 0 bytes');
  const pieceBytes =
    texts['pieceBytes'] === undefined
      ? pieceBytesFor(blobBytes)
      : read(texts, 'piece-bytes', parseBytes, (value) => value >= MIN_PIECE_BYTES, 'at least 256KiB');
  const nodes = count(texts, 'nodes', 1_000_000);
  if (nodes * Math.ceil(blobBytes / pieceBytes) > MAX_NODE_PIECES) {
    throw wrong('nodes', texts['nodes'], `at most ${MAX_NODE_PIECES} pieces over all nodes`);
  }
  return {
    nodes,
    blobBytes,
    pieceBytes,
    nodeRate: rate(texts, 'node-rate'),
    seeds,
    seedRate,
    registryRate: texts['registryRate'] === undefined ? seeds * seedRate : rate(texts, 'registry-rate'),
    latencyMs: read(texts, 'latency', parseDuration, (value) => value <= 10_000, 'at most 10s'),
    haveDelayMs: read(texts, 'have-delay', parseDuration, (value) => value <= 10_000, 'at most 10s'),
    rngSeed: read(texts, 'rng-seed', Number, isNumber(0, MAX_SEED), `a whole number from 0 to ${MAX_SEED}`),
  };
}

function count(texts: Texts, flag: string, most: number): number {
  return read(texts, flag, Number, isNumber(1, most), `a whole number from 1 to ${most}`);
}

function rate(texts: Texts, flag: string): number {
  return read(texts, flag, parseRate, (value) => value >= 1024, 'at least 1KiB/s');
}

function isNumber(least: number, most: number): (value: number) => boolean {
  return (value) => Number.isInteger(value) && value >= least && value <= most;
}

function read(
  texts: Texts,
  flag: string,
  parse: (text: string) => number,
  valid: (value: number) => boolean,
  expected: string,
): number {
  const text = texts[flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
  let value = Number.NaN;
  try {
    value = typeof text === 'string' && text.trim() !== '' ? parse(text) : Number.NaN;
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    throw new DamselflyError('CONFIG_INVALID', `--${flag}: ${error.message}`, {}, { cause: error });
  }
  if (!valid(value)) throw wrong(flag, text, expected);
  return value;
}

function wrong(flag: string, text: string | boolean | undefined, expected: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `--${flag}: got ${JSON.stringify(text)}; expected ${expected}`);
}
