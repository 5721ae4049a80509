import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster } from '../../fixtures/cluster.ts';
import { tempFolder } from '../../fixtures/temp-folder.ts';
import { cpuMsOf } from '../../fixtures/thread-cpu.ts';
import { type Figure, median, type Row } from '../row.ts';

/** What a start leaves to do is done by then. */
const SETTLE_MS = 5000;
const WATCH_MS = 10_000;

/** What a daemon takes from its node while nobody pulls, which is most of the time. */
export const idleCpu: Row = {
  name: 'idle-cpu',
  about: 'CPU of a node daemon, a supernode and a tracker that are linked and have nothing to do',
  async measure({ runs, say, signal }) {
    await using folder = await tempFolder('idle-cpu');
    await using made = new AsyncDisposableStack();
    const upstreams = { 'registry.bench': 'http://127.0.0.1:1' };
    const cluster = await startCluster({ folder: folder.path, nodes: 1, supernodes: 1, upstreams, signal });
    made.defer(() => cluster.stop());
    await sleep(SETTLE_MS, undefined, { signal });
    const watched = { node: cluster.daemons, supernode: cluster.supernodes, tracker: cluster.trackers };
    const pids = Object.values(watched).map(([member]) => member!.ready.pid);
    const found: number[][] = [];
    for (let run = 0; run < runs; run++) {
      const before = await Promise.all(pids.map(cpuMsOf));
      await sleep(WATCH_MS, undefined, { signal });
      const after = await Promise.all(pids.map(cpuMsOf));
      found.push(after.map((ms, at) => (ms - before[at]!) / (WATCH_MS / 1000)));
      say(
        `run ${run + 1} of ${runs}: ${found
          .at(-1)!
          .map((ms) => ms.toFixed(2))
          .join(', ')} ms/s`,
      );
    }
    const figure = (row: string, target: number, at: number): Figure => {
      const values = found.map((each) => each[at]!);
      return { row, value: median(values), unit: 'ms/s', target, better: 'lower', runs: values };
    };
    return [
      figure('idle-cpu', 3, 0),
      figure('idle-cpu-supernode', 4, 1),
      { ...figure('idle-cpu-tracker', 6, 2), note: 'milliseconds of CPU a second, all threads' },
    ];
  },
};
