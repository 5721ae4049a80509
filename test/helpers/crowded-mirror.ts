import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../../bench/fixtures/cluster.ts';
import { createStage } from './stage.ts';

const MIB = 1024 * 1024;
/** Connections opened at once; more would wait in the listen queue. */
const OPENED_AT_ONCE = 200;
/** What a slow reader takes in a second. */
const SLOW_BYTES = 1024;

export interface CrowdOptions {
  /** Connections that ask for nothing more. */
  readonly idle: number;
  /** Clients of a large blob that take a KiB a second. */
  readonly slow: number;
  readonly seconds: number;
  readonly bufferMib: number;
}

export interface CrowdedMirror {
  /** Seconds of pulls from a node that has no crowd, and of those beside the crowd: taken in turns. */
  readonly alone: readonly number[];
  readonly beside: readonly number[];
  /** Every pull brought the right bytes. */
  readonly right: boolean;
  /** Connections of the crowd that were there at its end. */
  readonly stayed: number;
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
  const at = { host, port: Number(port) };
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
  const ask = (what: string): string => `GET ${what} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const slow = await openAll(at, options.slow, ask(path));
  // They asked once, and so may stay; who never asks is gone after ten seconds.
  const idle = await openAll(at, options.idle, ask('/v2/?ns=nowhere'));
  for (const socket of idle) socket.resume();
  const endMs = performance.now() + options.seconds * 1000;
  const reading = (async () => {
    while (performance.now() < endMs) {
      for (const socket of slow) socket.read(SLOW_BYTES);
      await sleep(1000);
    }
  })();
  const alone: number[] = [];
  const beside: number[] = [];
  while (performance.now() < endMs) {
    alone.push(await pull(other));
    beside.push(await pull(daemon));
  }
  await reading;
  const crowd = [...slow, ...idle];
  const stayed = crowd.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
  const peakBytes = await residentBytes(daemon.pid, 'VmHWM');
  for (const socket of crowd) socket.destroy();
  return { alone, beside, right, stayed, restBytes, peakBytes };
}

async function openAll(
  at: { readonly host: string; readonly port: number },
  count: number,
  request: string,
): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(OPENED_AT_ONCE, count - sockets.length) }, () => {
      const socket = connect(at);
      socket.on('error', () => socket.destroy());
      socket.write(request);
      return socket;
    });
    await Promise.all(some.map((socket) => once(socket, 'connect')));
    sockets.push(...some);
  }
  return sockets;
}

async function residentBytes(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
}
