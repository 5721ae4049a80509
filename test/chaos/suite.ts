import { join } from 'node:path';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { openKeptResults } from '../../bench/report/kept-results.ts';
import { codeVersion } from '../../bench/report/machine.ts';
import { createNodeDisk } from '../../lib/store/disk/node-disk.ts';
import type { ChaosFlags } from './cli.ts';
import type { Fault } from './fault.ts';
import { createImageLibrary } from './image-library.ts';
import type { ChaosResult } from './result.ts';
import { runFault } from './run-fault.ts';

const KEPT_FOLDER = join(import.meta.dirname, '..', '..', '.bench', 'chaos');
/** All that a run depends on. */
const CODE = [
  ...['lib', 'registry-proxy', 'dfget', 'supernode', 'tracker', 'damselfly', 'bin'],
  ...['bench/fixtures', 'test/chaos', 'test/helpers', 'package-lock.json'],
];

export interface SuiteOutput {
  readonly say: (text: string) => void;
  readonly onResult: (result: ChaosResult, kept: boolean) => void;
}

export interface SuiteResults {
  readonly results: readonly ChaosResult[];
  /** Runs that could not be carried out, each a sentence. */
  readonly failures: readonly string[];
}

/** All chosen faults with the first seed, then all with the next. */
export async function runSuite(
  flags: ChaosFlags,
  output: SuiteOutput,
  signal: AbortSignal,
): Promise<SuiteResults> {
  const { faults, firstSeed, fresh, limitMs, secure, seeds, size } = flags;
  const { say } = output;
  await using cleanup = new AsyncDisposableStack();
  const code = await codeVersion(CODE);
  const commit = `${code.commit.slice(0, 12)}${code.changed ? '+' : ''}`;
  const kept = await openKeptResults<ChaosResult>(createNodeDisk(), KEPT_FOLDER, { code: code.key, fresh });
  cleanup.defer(() => kept.close());
  const folder = cleanup.use(await tempFolder('chaos-images')).path;
  const library = await createImageLibrary({
    folder,
    imageBytes: size.imageBytes,
    layers: size.layers,
    signal,
  });

  const results: ChaosResult[] = [];
  const failures: string[] = [];
  const began = performance.now();
  for (const { fault, seed } of runsOf(faults, firstSeed, seeds)) {
    signal.throwIfAborted();
    const name = `${fault.name} seed ${seed} ${size.name} ${size.imageBytes}${secure ? '' : ' insecure'}`;
    const earlier = kept.get(name);
    if (earlier !== undefined) {
      results.push(earlier);
      output.onResult(earlier, true);
      continue;
    }
    if (performance.now() - began > limitMs) break;
    say(`${fault.name}, seed ${seed}`);
    try {
      const result = await runFault({ fault, seed, commit, size, secure, library, say, signal });
      await kept.add(name, result);
      results.push(result);
      output.onResult(result, false);
    } catch (error) {
      signal.throwIfAborted();
      failures.push(`${fault.name}, seed ${seed}: ${(error as Error).message}`);
      say(`  could not be run: ${(error as Error).message}`);
    }
  }
  return { results, failures };
}

function* runsOf(
  faults: readonly Fault[],
  firstSeed: number,
  seeds: number,
): Generator<{ fault: Fault; seed: number }> {
  for (let i = 0; i < seeds; i++) {
    for (const fault of faults) yield { fault, seed: firstSeed + i };
  }
}
