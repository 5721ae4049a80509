/**
 * Microseconds of a tracker's main thread for one announcement over its WebSocket, by the number of its layers:
 *
 *     node bench/micro/tracker-costs.ts [--json]
 *
 * 4,000 connected nodes announce at the same moment, again and again; the least of all rounds counts, because a
 * machine that does other work only adds to it. What does not depend on the layers is reading the message and writing
 * its answer, sockets included; the rest is what one layer costs. bench/simulate/profile.ts takes both from here.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { interruptSignal } from '../fixtures/command-line.ts';
import { tempFolder } from '../fixtures/temp-folder.ts';
import { ClientProcesses } from './tracker-clients.ts';
import { controlUrl, startTracker } from './tracker-process.ts';

const NODES = 4_000;
const PROCESSES = 2;
const ROUNDS = 10;
const LAYERS = [1, 12] as const;

/** CPU time of the process's main thread so far, microseconds. */
async function mainThreadUs(pid: number): Promise<number> {
  const [ns] = (await readFile(`/proc/${pid}/task/${pid}/schedstat`, 'utf8')).split(' ');
  return Number(ns) / 1000;
}

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const signal = interruptSignal();
await using folder = await tempFolder('tracker-costs');
const tracker = await startTracker(folder.path, signal);
const clients = await ClientProcesses.start(PROCESSES);
try {
  const nodes = NODES / PROCESSES;
  const url = controlUrl(tracker);
  await clients.tell((index) => ({ kind: 'connect', url, first: index * nodes, count: nodes }));
  const announceUs = async (layers: number): Promise<number> => {
    let least = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      signal.throwIfAborted();
      const before = await mainThreadUs(tracker.pid);
      await clients.tell(() => ({ kind: 'announce', nodes, layers, have: 'some' }));
      least = Math.min(least, ((await mainThreadUs(tracker.pid)) - before) / NODES);
    }
    return least;
  };
  const one = await announceUs(LAYERS[0]);
  const many = await announceUs(LAYERS[1]);
  const layerUs = (many - one) / (LAYERS[1] - LAYERS[0]);
  const result = { messageUs: (one - layerUs) / 2, layerUs };
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    process.stdout.write(
      `a message read or written ${result.messageUs.toFixed(1)} us, a layer ${result.layerUs.toFixed(1)} us\n`,
    );
  }
} finally {
  clients.stop();
  await tracker.stop();
}
