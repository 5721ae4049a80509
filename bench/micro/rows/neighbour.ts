import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { run } from '../../fixtures/child.ts';
import { round } from '../../fixtures/table.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { usageOf } from '../../fixtures/usage.ts';
import { type Figure, inPairs, median, type Row, type RowContext } from '../row.ts';
import { type SeedingNode, startSeedingNode } from '../seeding-node.ts';

const MIB = 1024 * 1024;
const BLOB_BYTES = 256 * MIB;
const PEERS = 3;
/** Of each worker: about a second. */
const FILES = 20;
/** Turns of each side in one pair: short ones, in an order that favours neither, see the same machine. */
const TURNS = ['beside', 'alone', 'alone', 'beside', 'alone', 'beside', 'beside', 'alone'] as const;
const WORK = join(import.meta.dirname, '..', 'neighbour-work-main.ts');

export const neighbour: Row = {
  name: 'neighbour',
  about: 'slow-down of other work by a daemon in the background that seeds to peers, against that work alone',
  measure: async (context) => [await besideWork(context), await clientBesidePeers(context)],
};

/** Work on every core, each worker hashing and writing synced files, beside `dfget daemon --background` under load. */
async function besideWork(context: RowContext): Promise<Figure> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('neighbour')).path;
  const node = await startSeedingNode(folder, cleanup, {
    ...{ blobBytes: BLOB_BYTES, daemonFlags: ['--background'], signal: context.signal },
  });
  const workFolder = join(folder, 'work');
  await mkdir(workFolder);
  cleanup.defer(() => void process.kill(node.pid, 'SIGCONT'));
  let sentBytes = 0;
  let seconds = 0;
  let cpuSeconds = 0;
  const beside = async (): Promise<number> => {
    process.kill(node.pid, 'SIGCONT');
    const peers = await node.startPeers(PEERS);
    try {
      const before = { sent: await node.sentBytes(), cpu: (await usageOf([node.pid])).cpuSeconds };
      const tookSeconds = await work(workFolder);
      seconds += tookSeconds;
      sentBytes += (await node.sentBytes()) - before.sent;
      cpuSeconds += (await usageOf([node.pid])).cpuSeconds - before.cpu;
      return tookSeconds;
    } finally {
      await peers.stop();
    }
  };
  const alone = (): Promise<number> => {
    process.kill(node.pid, 'SIGSTOP');
    return work(workFolder);
  };
  await alone();
  const runs: number[] = [];
  for (let run = 0; run < context.runs; run++) {
    context.say(`pair ${run + 1} of ${context.runs}`);
    const took = { beside: 0, alone: 0 };
    for (const turn of TURNS) {
      context.signal.throwIfAborted();
      took[turn] += await (turn === 'beside' ? beside() : alone());
    }
    runs.push((took.beside / took.alone - 1) * 100);
  }
  const rate = round(sentBytes / seconds / MIB);
  return {
    ...{ row: 'neighbour', value: median(runs), unit: '%', target: 5, better: 'lower', runs },
    cpuSecondsPerGB: { ours: round(cpuSeconds / (sentBytes / 1e9)) },
    peakRssBytes: (await usageOf([node.pid])).peakRssBytes,
    note: `${availableParallelism()} workers, one a core; the daemon seeded ${rate} MiB/s meanwhile, to peers on this machine at the lowest priority`,
  };
}

/** @returns the mean of the workers' own times, in seconds */
async function work(folder: string): Promise<number> {
  const workers = Array.from({ length: availableParallelism() }, async () => {
    const { code, output } = await run(process.execPath, [
      WORK,
      '--folder',
      folder,
      '--files',
      String(FILES),
    ]);
    if (code !== 0) throw new Error(`the work failed: ${output}`);
    return Number(output);
  });
  const times = await Promise.all(workers);
  return times.reduce((sum, seconds) => sum + seconds, 0) / times.length;
}

/** A client of a node without limits reads a blob that is there, beside peers that take all they get. */
async function clientBesidePeers(context: RowContext): Promise<Figure> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('neighbour')).path;
  const node = await startSeedingNode(folder, cleanup, {
    ...{ blobBytes: BLOB_BYTES, daemonFlags: [], signal: context.signal },
  });
  const beside = async (): Promise<number> => {
    const peers = await node.startPeers(PEERS);
    try {
      return await reading(node);
    } finally {
      await peers.stop();
    }
  };
  const pairs = await inPairs(context, beside, () => reading(node));
  const runs = pairs.map(({ ours, baseline }) => ours / baseline);
  return {
    ...{ row: 'neighbour-client', value: median(runs), unit: 'x', target: 1.5, better: 'lower', runs },
    note: `time in which the node's own client reads ${BLOB_BYTES / MIB} MiB while ${PEERS} peers have ${PEERS * 4} requests in flight, over the time without them`,
  };
}

/** @returns seconds */
async function reading(node: SeedingNode): Promise<number> {
  const started = performance.now();
  for (let time = 0; time < 4; time++) await node.read();
  return (performance.now() - started) / 1000;
}
