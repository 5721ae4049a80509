import { readFile, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, jsonReady, startChild } from '../../fixtures/child.ts';
import { type Cluster, proxyUrl, startCluster } from '../../fixtures/cluster.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { usageOf } from '../../fixtures/usage.ts';
import { curl } from '../curl.ts';
import { type Figure, median, type Row, type RowContext } from '../row.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const BLOB_BYTES = 5 * GIB;
/** The blob twice, in supernode and node, and room for others. */
const NEEDED_BYTES = 16 * GIB;
const IDLE_MS = 3000;
const PEERS = 4;
const SLOW_CLIENT_RATE = '1M';
const SAMPLE_MS = 250;
/** A machine that takes longer is too busy to tell anything. */
const LOAD_LIMIT_MS = 400_000;

/** How much memory a node daemon takes at most. */
export const rssMib: Row = {
  name: 'rss-mib',
  about:
    'peak resident size of a node daemon: idle, and pulling 5 GiB for 3 clients (one at 1 MB/s) and 4 peers',
  needs: ['curl'],
  async measure(context) {
    const { runs, say } = context;
    const idle: number[] = [];
    for (let run = 0; run < runs; run++) {
      idle.push(await idlePeak(context));
      say(`idle, run ${run + 1} of ${runs}: ${idle.at(-1)!.toFixed(1)} MiB`);
    }
    const figure = { unit: 'MiB', better: 'lower' } as const;
    return [
      { ...figure, row: 'rss-mib', value: median(idle), target: 115, runs: idle },
      { ...figure, row: 'rss-mib-load', target: 220, ...(await underLoad(context)) },
    ];
  },
};

async function idlePeak({ signal }: RowContext): Promise<number> {
  await using folder = await tempFolder('idle');
  await using made = new AsyncDisposableStack();
  const upstreams = { 'registry.bench': 'http://127.0.0.1:1' };
  const cluster = await startCluster({
    secure: false,
    folder: folder.path,
    nodes: 1,
    supernodes: 1,
    upstreams,
    signal,
  });
  made.defer(() => cluster.stop());
  await sleep(IDLE_MS, undefined, { signal });
  return (await usageOf([cluster.daemons[0]!.pid])).peakRssBytes / MIB;
}

async function underLoad({ say, signal }: RowContext): Promise<Pick<Figure, 'value' | 'runs' | 'note'>> {
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < NEEDED_BYTES) {
    throw new Error(`less than ${NEEDED_BYTES / GIB} GiB free in ${tmpdir()}`);
  }
  await using folder = await tempFolder('load');
  await using made = new AsyncDisposableStack();
  const registry = await startProcess<{ address: string; digest: string }>(
    folder.path,
    'repeating-registry',
    ['--bytes', String(BLOB_BYTES)],
    signal,
  );
  made.defer(() => registry.stop());
  const { address, digest } = registry.ready;
  const cluster = await startCluster({
    secure: false,
    ...{ folder: folder.path, nodes: 1, supernodes: 1, signal },
    ...{ upstreams: { 'registry.bench': `http://${address}` }, defaultUpstream: 'registry.bench' },
  });
  made.defer(() => cluster.stop());
  const url = `${proxyUrl(cluster.daemons[0]!)}/v2/bench/app/blobs/${digest}`;
  // Ends with the node, long before its last byte.
  void curl(url, ['--limit-rate', SLOW_CLIENT_RATE]).catch(() => {});
  const pulls = Promise.all([curl(url), curl(url)]);
  pulls.catch(() => {});
  await startPeers(folder.path, cluster, digest, made, signal);
  say(`${PEERS} peers are linked`);
  const startedMs = performance.now();
  const samples = await sampleUntil(pulls, cluster.daemons[0]!.pid, signal);
  const seconds = (performance.now() - startedMs) / 1000;
  const { peakRssBytes } = await usageOf([cluster.daemons[0]!.pid]);
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const part = samples.slice((quarter * samples.length) / 4, ((quarter + 1) * samples.length) / 4);
    return Math.round(median(part));
  });
  const note = `median of each quarter of the ${seconds.toFixed(0)} s: ${quarters.join(', ')} MiB`;
  say(note);
  return { value: peakRssBytes / MIB, runs: [peakRssBytes / MIB], note };
}

async function startPeers(
  folder: string,
  { daemons }: Cluster,
  digest: string,
  made: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<void> {
  const args = ['--peer', daemons[0]!.ready.peer, '--digest', digest, '--bytes', String(BLOB_BYTES)];
  for (let peer = 0; peer < PEERS; peer++) {
    const leech = await startProcess(folder, 'leech', args, signal);
    made.defer(() => leech.stop());
  }
}

function startProcess<Ready>(
  folder: string,
  name: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Child<Ready>> {
  return startChild<Ready>({
    command: process.execPath,
    args: [join(import.meta.dirname, '..', `${name}-main.ts`), ...args],
    logFile: join(folder, `${name}.log`),
    ready: jsonReady(name),
    deadlineMs: 120_000,
    signal,
  });
}

/** Resident size every now and then, MiB, until the promise has settled. @throws Error when that takes too long */
async function sampleUntil(done: Promise<unknown>, pid: number, signal: AbortSignal): Promise<number[]> {
  const samples: number[] = [];
  const state = { over: false };
  const finished = done.finally(() => {
    state.over = true;
  });
  const untilMs = performance.now() + LOAD_LIMIT_MS;
  while (!state.over) {
    if (performance.now() > untilMs) throw new Error(`not done after ${LOAD_LIMIT_MS / 1000} s`);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    samples.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024);
    await Promise.race([finished.catch(() => {}), sleep(SAMPLE_MS, undefined, { signal })]);
  }
  await finished;
  return samples;
}
