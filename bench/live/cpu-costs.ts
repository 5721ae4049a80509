import type { Cluster } from '../fixtures/cluster.ts';
import { round } from '../fixtures/table.ts';
import { type ThreadCpuMs, threadCpuMsOf } from '../fixtures/thread-cpu.ts';

/** CPU seconds per 10^9 bytes delivered to clients, by what the threads of the processes are for. */
export type CpuCosts = Readonly<Record<'nodes' | 'supernodes' | 'trackers', ThreadCosts>>;

interface ThreadCosts {
  /** The event loop: JavaScript, hashes, TLS, sockets. */
  readonly loop: number;
  /** Node's thread pool: files and records. */
  readonly files: number;
  /** What the JavaScript engine does beside the loop: compiling and collecting garbage. */
  readonly engine: number;
}

/** Begins to count. @returns asks what has been used since, for so many bytes delivered */
export async function countCpu(cluster: Cluster): Promise<(bytes: number) => Promise<CpuCosts>> {
  const groups = { nodes: cluster.daemons, supernodes: cluster.supernodes, trackers: cluster.trackers };
  const pids = (group: keyof typeof groups): number[] => groups[group].map(({ ready }) => ready.pid);
  const before = {
    nodes: await sumOf(pids('nodes')),
    supernodes: await sumOf(pids('supernodes')),
    trackers: await sumOf(pids('trackers')),
  };
  return async (bytes) => {
    const since = async (group: keyof typeof groups): Promise<ThreadCosts> => {
      const now = await sumOf(pids(group));
      const perGB = (kind: keyof ThreadCosts): number =>
        round((now[kind] - before[group][kind]) / 1000 / (bytes / 1e9));
      return { loop: perGB('loop'), files: perGB('files'), engine: perGB('engine') };
    };
    return {
      nodes: await since('nodes'),
      supernodes: await since('supernodes'),
      trackers: await since('trackers'),
    };
  };
}

/** All of it. */
export function totalOf(costs: CpuCosts): number {
  return round(Object.values(costs).reduce((sum, { engine, files, loop }) => sum + engine + files + loop, 0));
}

async function sumOf(pids: readonly number[]): Promise<ThreadCpuMs> {
  const sum = { loop: 0, files: 0, engine: 0, other: 0 };
  for (const used of await Promise.all(pids.map(threadCpuMsOf))) {
    for (const kind of Object.keys(sum) as (keyof ThreadCpuMs)[]) sum[kind] += used[kind];
  }
  return sum;
}
