import { setTimeout as sleep } from 'node:timers/promises';
import { createClusterAuthority, type KeyPair } from '../../../lib/security/cluster-authority.ts';
import { openAuthority } from '../../fixtures/certificates.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { usageOf } from '../../fixtures/usage.ts';
import { type Figure, median, type Row } from '../row.ts';
import { ClientProcesses } from '../tracker-clients.ts';
import { controlUrl, startTracker } from '../tracker-process.ts';

const NODES = 15_000;
/** Of them, those that announce together. */
const ANNOUNCING = 10_000;
const LAYERS = 20;
const PROCESSES = 3;
/** As a tracker tells nodes; a third of it is watched. */
const HEARTBEAT_MS = 30_000;
const OBSERVED_MS = 10_000;
/** 1.3 GB over TLS. */
const TARGETS = { seconds: 5, rssMib: { plain: 400, tls: 1240 }, dropped: 0 };
const MIB = 1024 * 1024;
const MANY_NODES = 50_000;

interface Run {
  readonly seconds: number;
  readonly rssMib: number;
  readonly dropped: number;
  /** Resident bytes of one connection at rest, and CPU seconds of one node: it connects, beats, announces an image. */
  readonly bytesPerNode: number;
  readonly connectCpu: number;
  readonly heartbeatCpu: number;
  readonly announceCpu: number;
  readonly heartbeatMaxMs: number;
}

/** One tracker process that holds 15,000 control connections, and a burst of announcements. */
export const trackerNodes: Row = {
  name: 'tracker-nodes',
  about:
    'seconds until 10,000 of 15,000 connected nodes have all answers, when each announces 20 layers at the same moment',
  measure: (options) => measure(options, 'plain'),
};

/** The same over mutual TLS, as clusters are by default. */
export const trackerNodesTls: Row = {
  name: 'tracker-nodes-tls',
  about: 'tracker-nodes over mutual TLS, each node with a certificate of its own',
  measure: (options) => measure(options, 'tls'),
};

async function measure(
  { signal, runs: count, say }: Parameters<Row['measure']>[0],
  over: 'plain' | 'tls',
): Promise<readonly Figure[]> {
  await using folder = await tempFolder('tracker-nodes');
  const pair =
    over === 'tls' ? await createClusterAuthority({ cluster: 'bench', nowMs: Date.now() }) : undefined;
  const runs: Run[] = [];
  for (let run = 0; run < count; run++) {
    signal.throwIfAborted();
    say(`run ${run + 1} of ${count}`);
    runs.push(await oneRun(folder.path, pair, signal));
  }
  return figuresOf(runs, over);
}

async function oneRun(folder: string, pair: KeyPair | undefined, signal: AbortSignal): Promise<Run> {
  const keys = pair && (await openAuthority(pair).issue('tracker', 'tracker'));
  const tracker = await startTracker(folder, signal, keys);
  const clients = await ClientProcesses.start(PROCESSES);
  const cpu = async (): Promise<number> => (await usageOf([tracker.pid])).cpuSeconds;
  try {
    const url = controlUrl(tracker, pair === undefined ? 'ws' : 'wss');
    const nodes = NODES / PROCESSES;
    const share = (index: number) => ({ first: index * nodes, count: nodes });
    if (pair !== undefined) {
      await clients.tell((index) => ({ kind: 'certify', authority: pair, ...share(index) }));
    }
    const empty = await usageOf([tracker.pid]);
    await clients.tell((index) => ({ kind: 'connect', url, ...share(index) }));
    const held = await usageOf([tracker.pid]);
    await clients.tell(() => ({ kind: 'heartbeats', everyMs: HEARTBEAT_MS }));
    const atRest = await cpu();
    await sleep(OBSERVED_MS, undefined, { signal });
    const beats = await clients.tell(() => ({ kind: 'look' }));
    const rested = await cpu();
    // The rest goes on with its heartbeats while the burst is answered.
    const reports = await clients.tell((index) => ({
      kind: 'announce',
      nodes: Math.floor((ANNOUNCING + index) / PROCESSES),
      layers: LAYERS,
      have: 'none',
    }));
    const { cpuSeconds, peakRssBytes } = await usageOf([tracker.pid]);
    const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0);
    return {
      seconds: Math.max(...reports.map(({ seconds }) => seconds)),
      rssMib: peakRssBytes / MIB,
      dropped: sum(reports.map(({ dropped }) => dropped)),
      bytesPerNode: (held.peakRssBytes - empty.peakRssBytes) / NODES,
      connectCpu: (held.cpuSeconds - empty.cpuSeconds) / NODES,
      heartbeatCpu: (rested - atRest) / sum(beats.map(({ heartbeats }) => heartbeats)),
      announceCpu: (cpuSeconds - rested) / ANNOUNCING,
      heartbeatMaxMs: Math.max(...reports.map(({ heartbeatMaxMs }) => heartbeatMaxMs)),
    };
  } finally {
    clients.stop();
    await tracker.stop();
  }
}

function figuresOf(runs: readonly Run[], over: 'plain' | 'tls'): readonly Figure[] {
  const of = (field: keyof Run): readonly number[] => runs.map((run) => run[field]);
  const kib = median(of('bytesPerNode')) / 1024;
  const beat = median(of('heartbeatCpu'));
  const announce = median(of('announceCpu'));
  const restShare = ((MANY_NODES * beat) / (HEARTBEAT_MS / 1000) / 2) * 100;
  const note =
    `a node takes ${kib.toFixed(1)} KiB at rest, ${(median(of('connectCpu')) * 1e3).toFixed(2)} ms of CPU to connect, ${(beat * 1e6).toFixed(0)} us of CPU a heartbeat, ` +
    `${(announce * 1e6).toFixed(0)} us an image; ${MANY_NODES} nodes on two cores: ` +
    `${((MANY_NODES * kib) / 1024).toFixed(0)} MiB, ${restShare.toFixed(0)} % busy at rest, ` +
    `${((MANY_NODES * announce) / 2).toFixed(1)} s when all announce together; ` +
    `heartbeats of others waited ${median(of('heartbeatMaxMs')).toFixed(0)} ms at most during the burst`;
  const figure = (suffix: string, unit: string, field: keyof Run, target: number): Figure => ({
    row: `tracker-nodes${over === 'tls' ? '-tls' : ''}${suffix}`,
    value: median(of(field)),
    unit,
    target,
    better: 'lower',
    runs: of(field),
  });
  return [
    { ...figure('', 's', 'seconds', TARGETS.seconds), note },
    figure('-rss-mib', 'MiB', 'rssMib', TARGETS.rssMib[over]),
    figure('-dropped', 'connections', 'dropped', TARGETS.dropped),
  ];
}
