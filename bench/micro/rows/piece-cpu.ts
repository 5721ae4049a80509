import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createAuthority } from '../../fixtures/certificates.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { type Figure, inPairs, median, type Row, type RowContext } from '../row.ts';
import { PEER_ID, type Received, type Source } from '../transfer/job.ts';
import { type Part, startPart } from '../transfer/part.ts';

const BLOB_BYTES = 1024 ** 3;
/** V8 optimizes what has run 500 times as it is: that many pieces are one run, and what they call settles one by one. */
const WARM_UPS = 3;
export const GB = BLOB_BYTES / 1e9;

interface Cost {
  /** CPU of both sides and of the receiver alone, seconds per GB. */
  readonly both: number;
  readonly receiver: number;
  readonly mbPerSecond: number;
}

/** One transfer, again and again. */
export interface Transfer {
  run(): Promise<Cost>;
  peakRssBytes(): Promise<number>;
}

export const pieceCpuVsRaw: Row = {
  name: 'piece-cpu-vs-raw',
  about:
    'CPU of both sides to move, verify and store 1 GiB, to that of raw frames with the same hashes and write',
  measure: (context) => againstRaw(context, 'piece-cpu-vs-raw', 1.15, false),
};

export const pieceCpuVsRawTls: Row = {
  name: 'piece-cpu-vs-raw-tls',
  about: 'the same over mutual TLS 1.3 on both sides',
  measure: (context) => againstRaw(context, 'piece-cpu-vs-raw-tls', 1.25, true),
};

export const cpuVsNaive: Row = {
  name: 'cpu-vs-naive',
  about:
    "receiver's CPU to fetch, verify and store 1 GiB, to that of an HTTP client's stream hashed and written by chunk",
  measure: againstNaive,
};

async function againstRaw(
  context: RowContext,
  row: string,
  target: number,
  overTls: boolean,
): Promise<readonly Figure[]> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('transfer')).path;
  const tls = overTls ? await (await createAuthority()).issue(PEER_ID) : undefined;
  const { signal } = context;
  const part = (role: string): Part => cleanup.use(startPart(role, signal));
  const sender = part('product-sender');
  const source = await prepare(sender, folder);
  const connect = async (from: Part, to: Part, name: string): Promise<Transfer> => {
    await mkdir(join(folder, name));
    const port = await from.ask<number>('listen', { source, tls });
    await to.ask('connect', { source, tls, port, folder: join(folder, name) });
    return transferOf(from, to);
  };
  const ours = await connect(sender, part('product-receiver'), 'ours');
  const raw = await connect(part('raw-sender'), part('raw-receiver'), 'raw');
  const pairs = await inPairs(
    context,
    () => ours.run(),
    () => raw.run(),
    WARM_UPS,
  );
  return [figureOf(row, target, pairs, 'both', await ours.peakRssBytes())];
}

async function againstNaive(context: RowContext): Promise<readonly Figure[]> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await tempFolder('transfer')).path;
  const { signal } = context;
  const part = (role: string): Part => cleanup.use(startPart(role, signal));
  const sender = part('product-sender');
  const source = await prepare(sender, folder);
  const port = await sender.ask<number>('listen', { source });
  const connect = async (to: Part, name: string): Promise<Transfer> => {
    await mkdir(join(folder, name));
    await to.ask('connect', { source, port, folder: join(folder, name) });
    return transferOf(sender, to);
  };
  const ours = await connect(part('product-receiver'), 'ours');
  const naive = await connect(part('naive-receiver'), 'naive');
  const pairs = await inPairs(
    context,
    () => ours.run(),
    () => naive.run(),
    WARM_UPS,
  );
  return [figureOf('cpu-vs-naive', 0.55, pairs, 'receiver', await ours.peakRssBytes())];
}

export function prepare(sender: Part, folder: string): Promise<Source> {
  return sender.ask<Source>('prepare', { folder: join(folder, 'source'), bytes: BLOB_BYTES });
}

export function transferOf(from: Part, to: Part): Transfer {
  return {
    async run() {
      const before = await from.usage();
      const { cpuSeconds, seconds } = await to.ask<Received>('run');
      const after = await from.usage();
      return {
        both: (cpuSeconds + after.cpuSeconds - before.cpuSeconds) / GB,
        receiver: cpuSeconds / GB,
        mbPerSecond: BLOB_BYTES / 1e6 / seconds,
      };
    },
    peakRssBytes: async () =>
      Math.max(...(await Promise.all([from, to].map((part) => part.usage()))).map((use) => use.peakRssBytes)),
  };
}

function figureOf(
  row: string,
  target: number,
  pairs: readonly { readonly ours: Cost; readonly baseline: Cost }[],
  side: 'both' | 'receiver',
  peakRssBytes: number,
): Figure {
  const runs = pairs.map(({ ours, baseline }) => ours[side] / baseline[side]);
  const middle = (of: (pair: (typeof pairs)[number]) => number): number => median(pairs.map(of));
  const rate = (of: (pair: (typeof pairs)[number]) => number): number => Math.round(middle(of));
  return {
    ...{ row, value: median(runs), unit: 'x', target, better: 'lower', runs, peakRssBytes },
    cpuSecondsPerGB: {
      ours: middle(({ ours }) => ours[side]),
      baseline: middle(({ baseline }) => baseline[side]),
    },
    note: `${rate(({ ours }) => ours.mbPerSecond)} MB/s, baseline ${rate(({ baseline }) => baseline.mbPerSecond)} MB/s; the whole digest and fdatasync on both sides`,
  };
}
