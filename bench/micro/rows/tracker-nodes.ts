import { setTimeout as sleep } from 'node:timers/promises';
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
const TARGETS = { seconds: 5, rssMib: 400, dropped: 0 };
const MIB = 1024 * 1024;
const MANY_NODES = 50_000;

interface Run {
  readonly seconds: number;
  readonly rssMib: number;
  readonly dropped: number;
  /** Resident bytes of one connection at rest, and CPU seconds of one node: a heartbeat, and an image announced. */
  readonly bytesPerNode: number;
  readonly heartbeatCpu: number;
  readonly announceCpu: number;
  readonly heartbeatMaxMs: number;
}

/** One tracker process that holds 15,000 control connections, and a burst of announcements. */
export const trackerNodes: Row = {
  name: 'tracker-nodes',
  about:
    'seconds until 10,000 of 15,000 connected nodes have all answers, when each announces 20 layers at the same moment',
  // Over TLS: the same with `wss` and certificates of nodes, once processes have identities.
  async measure({ signal, runs: count, say }) {
    await using folder = await tempFolder('tracker-nodes');
    const runs: Run[] = [];
    for (let run = 0; run < count; run++) {
      signal.throwIfAborted();
      say(`run ${run + 1} of ${count}`);
      runs.push(await oneRun(folder.path, signal));
    }
    return figuresOf(runs);
  },
};

async function oneRun(folder: string, signal: AbortSignal): Promise<Run> {
  const tracker = await startTracker(folder, signal);
  const clients = await ClientProcesses.start(PROCESSES);
  const cpu = async (): Promise<number> => (await usageOf([tracker.pid])).cpuSeconds;
  try {
    const url = controlUrl(tracker);
    const nodes = NODES / PROCESSES;
    const emptyBytes = (await usageOf([tracker.pid])).peakRssBytes;
    await clients.tell((index) => ({ kind: 'connect', url, first: index * nodes, count: nodes }));
    const heldBytes = (await usageOf([tracker.pid])).peakRssBytes;
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
      bytesPerNode: (heldBytes - emptyBytes) / NODES,
      heartbeatCpu: (rested - atRest) / sum(beats.map(({ heartbeats }) => heartbeats)),
      announceCpu: (cpuSeconds - rested) / ANNOUNCING,
      heartbeatMaxMs: Math.max(...reports.map(({ heartbeatMaxMs }) => heartbeatMaxMs)),
    };
  } finally {
    clients.stop();
    await tracker.stop();
  }
}

function figuresOf(runs: readonly Run[]): readonly Figure[] {
  const of = (field: keyof Run): readonly number[] => runs.map((run) => run[field]);
  const kib = median(of('bytesPerNode')) / 1024;
  const beat = median(of('heartbeatCpu'));
  const announce = median(of('announceCpu'));
  const restShare = ((MANY_NODES * beat) / (HEARTBEAT_MS / 1000) / 2) * 100;
  const note =
    `a node takes ${kib.toFixed(1)} KiB at rest, ${(beat * 1e6).toFixed(0)} us of CPU a heartbeat, ` +
    `${(announce * 1e6).toFixed(0)} us an image; ${MANY_NODES} nodes on two cores: ` +
    `${((MANY_NODES * kib) / 1024).toFixed(0)} MiB, ${restShare.toFixed(0)} % busy at rest, ` +
    `${((MANY_NODES * announce) / 2).toFixed(1)} s when all announce together; ` +
    `heartbeats of others waited ${median(of('heartbeatMaxMs')).toFixed(0)} ms at most during the burst; not over TLS`;
  const figure = (suffix: string, unit: string, field: keyof Run, target: number): Figure => ({
    row: `tracker-nodes${suffix}`,
    value: median(of(field)),
    unit,
    target,
    better: 'lower',
    runs: of(field),
  });
  return [
    { ...figure('', 's', 'seconds', TARGETS.seconds), note },
    figure('-rss-mib', 'MiB', 'rssMib', TARGETS.rssMib),
    figure('-dropped', 'connections', 'dropped', TARGETS.dropped),
  ];
}
