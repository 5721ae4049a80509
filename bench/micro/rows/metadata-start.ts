import { join } from 'node:path';
import { run } from '../../fixtures/child.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { type Figure, median, type Row, type RowContext } from '../row.ts';

const BLOBS = 100_000;
const PIECES_EACH = 100;
const MIB = 1024 * 1024;
const FILL_TIMEOUT_MS = 300_000;

const MAIN = join(import.meta.dirname, '..', 'metadata-main.ts');

interface Opened {
  /** From the start of the process until the store was open. */
  readonly seconds: number;
  readonly blobs: number;
  readonly pieces: number;
  readonly peakRssBytes: number;
}

/** How a node with a full store starts: nothing to compare with but the clock. */
export const metadataStart: Row = {
  name: 'metadata-start',
  about: 'A process opens a store that knows 100,000 blobs and 10 million pieces: seconds, and peak memory.',
  async measure(context: RowContext): Promise<readonly Figure[]> {
    await using folder = await tempFolder('metadata');
    context.say(`making a store of ${BLOBS} blobs with ${PIECES_EACH} pieces each`);
    await child(['fill', folder.path, String(BLOBS), String(PIECES_EACH)]);
    const seconds: number[] = [];
    const rssMib: number[] = [];
    // The first one is the warm-up.
    for (let at = 0; at <= context.runs; at++) {
      context.signal.throwIfAborted();
      context.say(at === 0 ? 'warm-up' : `run ${at} of ${context.runs}`);
      const opened = JSON.parse(await child(['open', folder.path])) as Opened;
      if (at === 0) continue;
      if (opened.blobs !== BLOBS || opened.pieces !== PIECES_EACH) throw new Error('not all of it was found');
      seconds.push(opened.seconds);
      rssMib.push(opened.peakRssBytes / MIB);
    }
    const note = 'from the start of the process until the store is open';
    return [
      {
        ...{ row: 'metadata-start', value: median(seconds), unit: 's', target: 3, better: 'lower' },
        ...{ runs: seconds, peakRssBytes: median(rssMib) * MIB, note },
      },
      {
        ...{
          row: 'metadata-start-rss-mib',
          value: median(rssMib),
          unit: 'MiB',
          target: 250,
          better: 'lower',
        },
        runs: rssMib,
      },
    ];
  },
};

async function child(args: readonly string[]): Promise<string> {
  const { code, output, stdout } = await run(process.execPath, [MAIN, ...args], {
    timeoutMs: FILL_TIMEOUT_MS,
  });
  if (code !== 0) throw new Error(`metadata-main ${args[0]}: ${output.trim().slice(-500)}`);
  return stdout;
}
