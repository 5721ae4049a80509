import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { pieceLength, pieceOffset } from '../../../lib/core/geometry.ts';
import type { PeerNetwork, PieceTransport } from '../../../lib/transfer/seams.ts';
import { PEER_ID, type ReceiveJob, type SendJob } from './job.ts';
import type { Methods } from './part.ts';
import { networkOf } from './product.ts';

/** A node that receives and sends at once, with so many worker threads that each do both. */
export interface DuplexJob extends ReceiveJob {
  readonly workers: number;
  /** How often all workers together receive the blob in one run. */
  readonly rounds: number;
}

/** What one thread is given. */
export interface DuplexWorkerJob extends DuplexJob {
  readonly index: number;
  /** Where all of them listen; 0 for the first, which takes any. */
  readonly listenPort: number;
}

const WORKER = join(import.meta.dirname, '..', 'duplex-worker-main.ts');
/** So many that the kernel leaves no worker without connections, which it spreads over them by their ports. */
const SINK_LANES = 16;

export const duplexNode: Methods = {
  start: async (job: DuplexJob): Promise<number> => {
    let listenPort = 0;
    for (let index = 0; index < job.workers; index++) {
      const worker = new Worker(WORKER, { workerData: { ...job, index, listenPort } });
      [listenPort] = (await once(worker, 'message')) as [number];
      workers.push(worker);
    }
    return listenPort;
  },
  run: async () => {
    const done = workers.map((worker) => once(worker, 'message'));
    for (const worker of workers) worker.postMessage('run');
    await Promise.all(done);
  },
};
const workers: Worker[] = [];

/** Takes pieces from a node and drops them. */
export const sink: Methods = {
  run: async ({ source, port, tls, rounds }: SendJob & { port: number; rounds: number }) => {
    const { info } = source;
    network ??= networkOf({ source, tls });
    const { signal } = new AbortController();
    let next = 0;
    const lane = async (transport: PieceTransport): Promise<void> => {
      const into = Buffer.allocUnsafeSlow(info.pieceBytes);
      while (next < rounds * info.pieces) {
        const piece = next++ % info.pieces;
        const start = pieceOffset(info, piece);
        const range = { start, end: start + pieceLength(info, piece) };
        const request = {
          address: { host: '127.0.0.1', port },
          from: PEER_ID,
          digest: info.digest,
          range,
        };
        await transport.fetch(request, into.subarray(0, range.end - start), { signal });
      }
    };
    await Promise.all(Array.from({ length: SINK_LANES }, () => lane(network!)));
  },
};
let network: PeerNetwork | undefined;
