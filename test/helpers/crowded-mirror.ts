import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { Worker } from 'node:worker_threads';
import type { Cluster } from '../../bench/fixtures/cluster.ts';
import { createStage } from './stage.ts';

const MIB = 1024 * 1024;
/** Pulls of each that count, whatever they take; the first of each only warms up. */
const LEAST_PULLS = 5;
const MOST_SECONDS = 240;

export interface CrowdOptions {
  /** Connections that ask for nothing more. */
  readonly idle: number;
  /** Clients of a large blob that take a KiB a second. */
  readonly slow: number;
  readonly seconds: number;
  readonly bufferMib: number;
}

/** What the crowd's own thread is told. */
export interface CrowdPlan extends Pick<CrowdOptions, 'idle' | 'slow'> {
  readonly host: string;
  readonly port: number;
  /** Of the large blob. */
  readonly path: string;
}

export interface CrowdedMirror {
  /** Seconds of pulls from a node that has no crowd, and of those beside the crowd: taken in turns. */
  readonly alone: readonly number[];
  readonly beside: readonly number[];
  /** Every pull brought the right bytes. */
  readonly right: boolean;
  /** Connections of the crowd that were there, as a rule. */
  readonly present: number;
  /** Resident size before the crowd, and the largest beside it. */
  readonly restBytes: number;
  readonly peakBytes: number;
}

/** Pulls a layer again and again from two nodes, of which one has a crowd. */
export async function pullBesideCrowd(options: CrowdOptions): Promise<CrowdedMirror> {
  await using stage = await createStage('crowded-mirror', { image: { totalBytes: 64 * MIB, layers: 1 } });
  const cluster = await stage.startCluster({
    ...{ nodes: 2, supernodes: 1 },
    daemonFlags: ['--buffer-memory', `${options.bufferMib}MiB`],
  });
  const [daemon, other] = cluster.daemons;
  const [layer] = stage.image.layers;
  if (daemon === undefined || other === undefined) throw new Error('no daemon');
  if (layer === undefined) throw new Error('no layer');
  const [host = '', port = ''] = (daemon.ready.proxy[0]?.address ?? '').split(':');
  const path = `/v2/${stage.repository}/blobs/${layer.digest}`;
  let right = true;
  const pull = async ({ ready }: Cluster['daemons'][number]): Promise<number> => {
    const startMs = performance.now();
    const url = `http://${ready.proxy[0]?.address ?? ''}${path}`;
    const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
    const hash = createHash('sha256');
    for await (const chunk of response) hash.update(chunk as Buffer);
    right &&= `sha256:${hash.digest('hex')}` === layer.digest;
    return (performance.now() - startMs) / 1000;
  };
  // From the third time on it comes from the store.
  for (const each of [daemon, other, daemon, other]) await pull(each);
  const restBytes = await residentBytes(daemon.pid, 'VmRSS');
  await using crowd = await gather({ ...options, host, port: Number(port), path });
  const alone: number[] = [];
  const beside: number[] = [];
  for (const each of [other, daemon]) await pull(each);
  const startMs = performance.now();
  const seconds = (): number => (performance.now() - startMs) / 1000;
  while (seconds() < options.seconds || (alone.length < LEAST_PULLS && seconds() < MOST_SECONDS)) {
    alone.push(await pull(other));
    beside.push(await pull(daemon));
  }
  const present = await crowd.leave();
  const peakBytes = await residentBytes(daemon.pid, 'VmHWM');
  return { alone, beside, right, present, restBytes, peakBytes };
}

interface Crowd extends AsyncDisposable {
  /** @returns how many connections it had, as a rule */
  leave(): Promise<number>;
}

/** Resolves when all are there. */
async function gather(plan: CrowdPlan): Promise<Crowd> {
  const { host, idle, path, port, slow } = plan;
  const worker = new Worker(new URL('./fixtures/crowd-worker.ts', import.meta.url), {
    workerData: { host, idle, path, port, slow } satisfies CrowdPlan,
    execArgv: [],
  });
  await once(worker, 'message');
  return {
    async leave() {
      const left = once(worker, 'message') as Promise<[{ readonly present: number }]>;
      worker.postMessage('leave');
      const [{ present }] = await left;
      return present;
    },
    async [Symbol.asyncDispose]() {
      await worker.terminate();
    },
  };
}

async function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
}
