import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { pieceLength, pieceOffset } from '../../../lib/core/geometry.ts';
import { contentRange } from '../../../lib/core/range.ts';
import { mutualTls, type TlsKeys } from '../../../lib/security/system/mutual-tls.ts';
import { parsePieceRequest } from '../../../lib/transfer/http/piece-request.ts';
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

/**
 * Answers piece requests from memory: it shares the cores with the node that is measured, and a store would cost it a
 * third more CPU.
 */
export const memorySource: Methods = {
  listen: async ({ source, tls }: SendJob & { tls: TlsKeys }): Promise<number> => {
    const blob = await readFile(source.file);
    const server = createServer(
      { ...mutualTls(tls), requestCert: true, noDelay: true },
      (request, response) => {
        const { range } = parsePieceRequest({
          ...{ path: request.url ?? '', range: request.headers.range, node: 'source' },
        })!;
        response.writeHead(206, {
          'Content-Length': range.end - range.start,
          'Content-Range': contentRange(range, blob.length),
        });
        response.flushHeaders();
        response.end(blob.subarray(range.start, range.end));
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  },
};

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
