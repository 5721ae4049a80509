import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitCodeOf, interruptSignal, parseCount } from '../../bench/fixtures/command-line.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { FAULTS } from './faults/index.ts';
import { openImageLibrary } from './image-library.ts';
import { runFault } from './run-fault.ts';

const signal = interruptSignal();
const say = (text: string): void => void process.stderr.write(`${text}\n`);
try {
  const { values } = parseArgs({
    options: {
      fault: { type: 'string', multiple: true },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('chaos')).path;
  const library = await openImageLibrary({ folder: join(folder, 'images'), imageBytes: 64 << 20, layers: 3, signal });
  cleanup.defer(() => library.registry.stop());
  const size = { nodes: 6, containerdNodes: 2, supernodes: 2, trackers: 2, linkBytesPerSecond: 12.5e6 };
  for (const fault of FAULTS.filter(({ name }) => values.fault?.includes(name) ?? true)) {
    const result = await runFault({ fault, seed: parseCount('--seed', values.seed), size, library, judgeMakespan: true, say, signal });
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }
} catch (error) {
  say((error as Error).stack ?? '');
  process.exitCode = exitCodeOf(error, signal);
}
