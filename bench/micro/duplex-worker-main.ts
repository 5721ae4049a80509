/** One thread of the node that `duplex-core` measures: its own store, peer port and transport. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { DuplexWorkerJob } from './transfer/duplex.ts';
import { networkOf, ProductReceiver, servePieces } from './transfer/product.ts';
import { fillStore, openStore } from './transfer/source.ts';

const job = workerData as DuplexWorkerJob;
const folder = join(job.folder, `worker${job.index}`);
await mkdir(folder, { recursive: true });
const network = networkOf(job, { reusePort: true });
const [source, stored] = await fillStore(join(folder, 'out'), job.source.info.size);
const port = await servePieces(network, stored, job.listenPort);
const received = await (await openStore(join(folder, 'in'))).create(source.info);
const receiver = new ProductReceiver(network, job, received);
parentPort!.postMessage(port);
for (;;) {
  await once(parentPort!, 'message');
  for (let round = 0; round < job.rounds / job.workers; round++) await receiver.run();
  parentPort!.postMessage('done');
}
