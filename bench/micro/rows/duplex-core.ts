import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../fixtures/certificates.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { type Figure, inPairs, median, type Row, type RowContext } from '../row.ts';
import type { DuplexJob } from '../transfer/duplex.ts';
import { PEER_ID, type Source } from '../transfer/job.ts';
import { type Part, startPart } from '../transfer/part.ts';

const MIB = 1024 ** 2;
const BLOB_BYTES = 256 * MIB;
/** Divisible by the numbers of workers. */
const ROUNDS = 4;
/** In and out together. */
const MOVED_BYTES = 2 * ROUNDS * BLOB_BYTES;

interface Cost {
  readonly cpuSecondsPerGB: number;
  readonly mibPerSecond: number;
}

export const duplexCore: Row = {
  name: 'duplex-core',
  about: 'CPU per GB of a node that receives and sends over TLS at once, two workers to one',
  measure,
};

async function measure(context: RowContext): Promise<readonly Figure[]> {
  const { signal } = context;
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('duplex')).path;
  const tls = await (await createAuthority()).issue(PEER_ID);
  const part = (role: string): Part => cleanup.use(startPart(role, signal));
  const source = await prepareSource(part('product-sender'), join(folder, 'source'));
  const sourcePort = await part('memory-source').ask<number>('listen', { source, tls });
  const sink = part('sink');

  const startNode = async (workers: number): Promise<{ run(): Promise<Cost>; node: Part }> => {
    const node = part('duplex-node');
    const data = join(folder, `node-${workers}`);
    await mkdir(data);
    const job: DuplexJob = { source, tls, port: sourcePort, folder: data, workers, rounds: ROUNDS };
    const port = await node.ask<number>('start', job);
    const run = async (): Promise<Cost> => {
      const before = await node.usage();
      const startedMs = performance.now();
      await Promise.all([node.ask('run'), sink.ask('run', { source, tls, port, rounds: ROUNDS })]);
      const seconds = (performance.now() - startedMs) / 1000;
      const { cpuSeconds } = await node.usage();
      return {
        cpuSecondsPerGB: (cpuSeconds - before.cpuSeconds) / (MOVED_BYTES / 1e9),
        mibPerSecond: MOVED_BYTES / MIB / seconds,
      };
    };
    return { run, node };
  };
  const one = await startNode(1);
  const two = await startNode(2);
  const pairs = await inPairs(
    context,
    () => two.run(),
    () => one.run(),
  );

  const cpu = pairs.map(({ ours, baseline }) => ours.cpuSecondsPerGB / baseline.cpuSecondsPerGB);
  const rates = pairs.map(({ ours, baseline }) => ours.mibPerSecond / baseline.mibPerSecond);
  const of = (side: 'ours' | 'baseline', field: keyof Cost): number =>
    median(pairs.map((pair) => pair[side][field]));
  /** MiB in and out for each second of a core. */
  const perCore = (side: 'ours' | 'baseline'): number => Math.round(1e9 / MIB / of(side, 'cpuSecondsPerGB'));
  const { peakRssBytes } = await two.node.usage();
  const common = {
    unit: 'x',
    cpuSecondsPerGB: { ours: of('ours', 'cpuSecondsPerGB'), baseline: of('baseline', 'cpuSecondsPerGB') },
    peakRssBytes,
  } as const;
  return [
    {
      ...{ row: 'duplex-core', value: median(cpu), target: 1.1, better: 'lower', runs: cpu },
      ...common,
      note: `${perCore('ours')} MiB in and out a core-second with two workers, ${perCore('baseline')} with one`,
    },
    {
      ...{ row: 'duplex-core-rate', value: median(rates), target: 1.7, better: 'higher', runs: rates },
      ...common,
      note: `${Math.round(of('ours', 'mibPerSecond'))} MiB/s in and out with two workers, ${Math.round(of('baseline', 'mibPerSecond'))} with one, on ${availableParallelism()} cores that source and receiver share; the target is for four idle ones`,
    },
  ];
}

/** A blob on disk, for all sides to know. */
async function prepareSource(maker: Part, folder: string): Promise<Source> {
  const source = await maker.ask<Source>('prepare', { folder, bytes: BLOB_BYTES });
  await maker[Symbol.asyncDispose]();
  return source;
}
