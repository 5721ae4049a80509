import { tempFolder } from '../../fixtures/temp-folder.ts';
import { usageOf } from '../../fixtures/usage.ts';
import { inPairs, median, type Row } from '../row.ts';
import { ClientProcesses } from '../tracker-clients.ts';
import { controlUrl, startStockTracker, startTracker } from '../tracker-process.ts';

const NODES = 10_000;
const LAYERS = 20;
const PROCESSES = 2;
/** Connections that the clients of the baseline keep open; a real one opens one for each announcement. */
const HTTP_AT_ONCE = 32;
const TARGET = 20;

/** Blobs announced per CPU second of our tracker, against those of the stock server of bittorrent-tracker. */
export const trackerAnnounces: Row = {
  name: 'tracker-announces',
  about:
    'blobs announced per CPU second of the tracker, 10,000 nodes with 20 layers each in one message, against bittorrent-tracker over HTTP',
  async measure(context) {
    const { signal } = context;
    await using folder = await tempFolder('tracker-announces');
    /** Announcements per CPU second of the process while the clients do as told. */
    const rate = async (pid: number, announcing: () => Promise<number>): Promise<number> => {
      const before = await usageOf([pid]);
      const announced = await announcing();
      return announced / ((await usageOf([pid])).cpuSeconds - before.cpuSeconds);
    };
    const ours = async (): Promise<number> => {
      const tracker = await startTracker(folder.path, signal);
      const clients = await ClientProcesses.start(PROCESSES);
      try {
        const nodes = NODES / PROCESSES;
        const url = controlUrl(tracker);
        await clients.tell((index) => ({ kind: 'connect', url, first: index * nodes, count: nodes }));
        return await rate(tracker.pid, async () => {
          const reports = await clients.tell(() => ({
            kind: 'announce',
            nodes,
            layers: LAYERS,
            have: 'none',
          }));
          return reports.reduce((sum, { answered }) => sum + answered, 0);
        });
      } finally {
        clients.stop();
        await tracker.stop();
      }
    };
    const stock = async (): Promise<number> => {
      const tracker = await startStockTracker(folder.path, signal);
      const clients = await ClientProcesses.start(1);
      try {
        const url = `http://127.0.0.1:${tracker.ready.port}/announce`;
        return await rate(tracker.pid, async () => {
          const [report] = await clients.tell(() => ({
            kind: 'http',
            url,
            announces: NODES,
            atOnce: HTTP_AT_ONCE,
          }));
          return report!.answered;
        });
      } finally {
        clients.stop();
        await tracker.stop();
      }
    };
    const pairs = await inPairs(context, ours, stock);
    const runs = pairs.map((pair) => pair.ours / pair.baseline);
    const thousands = (values: readonly number[]): string => (median(values) / 1000).toFixed(1);
    const a = thousands(pairs.map((pair) => pair.ours));
    const b = thousands(pairs.map((pair) => pair.baseline));
    return [
      {
        row: 'tracker-announces',
        value: median(runs),
        unit: 'x',
        target: TARGET,
        better: 'higher',
        runs,
        note: `${a} thousand blobs a CPU second against ${b}, sockets included; connecting is not`,
      },
    ];
  },
};
