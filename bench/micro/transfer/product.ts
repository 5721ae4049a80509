import { DamselflyError } from '../../../lib/core/errors.ts';
import { silentLog } from '../../../lib/observe/log.ts';
import { createMetrics } from '../../../lib/observe/metrics.ts';
import { RateLimit } from '../../../lib/runtime/rate-limit.ts';
import { createSystemClock } from '../../../lib/runtime/system-clock.ts';
import type { StoredBlob } from '../../../lib/store/store.ts';
import { PieceSink } from '../../../lib/transfer/blobs/piece-sink.ts';
import { SharedBlob } from '../../../lib/transfer/blobs/shared-blob.ts';
import { createBufferPool } from '../../../lib/transfer/buffer-pool.ts';
import {
  createHttpPeerNetwork,
  type HttpPeerNetworkOptions,
} from '../../../lib/transfer/http/http-peer-network.ts';
import { type FetchPieceDeps, fetchPiece } from '../../../lib/transfer/peers/fetch-piece.ts';
import { Neighbour } from '../../../lib/transfer/peers/neighbour.ts';
import type { PeerNetwork } from '../../../lib/transfer/seams.ts';
import { steadyCredentials } from '../../fixtures/certificates.ts';
import {
  inLanes,
  measured,
  PEER_ID,
  type Received,
  type ReceiveJob,
  type SendJob,
  type Source,
} from './job.ts';
import type { Methods } from './part.ts';
import { fillStore, GENERATION, openStore } from './source.ts';

/** What a node may use for pieces on their way, by default. */
const POOL_BYTES = 256 * 1024 * 1024;
const NEVER = new AbortController().signal;

const clock = createSystemClock();
const log = silentLog();

export function networkOf({ tls }: SendJob, options: HttpPeerNetworkOptions = {}): PeerNetwork {
  return createHttpPeerNetwork(
    { clock, log },
    tls === undefined ? options : { ...options, credentials: steadyCredentials(tls) },
  );
}

/** Serves pieces of a stored blob on the peer port, as a node does for its neighbours. */
export async function servePieces(network: PeerNetwork, stored: StoredBlob, port = 0): Promise<number> {
  const { size } = stored.info;
  const { address } = await network.listen(
    { host: '127.0.0.1', port },
    {
      link: (link) => link.close('pieces only'),
      piece: () => ({
        kind: 'serve',
        size,
        read: (offset, into) => stored.read(offset, into),
        idle: () => {},
        done: () => {},
      }),
    },
  );
  return address.port;
}

/** Receives a blob with the parts of a node: transport, proof, sink, store, whole digest, commit. */
export class ProductReceiver {
  readonly #job: ReceiveJob;
  readonly #blob: SharedBlob;
  readonly #sink: PieceSink;
  readonly #sender: Neighbour;
  readonly #deps: FetchPieceDeps;
  #ended = Promise.withResolvers<void>();

  constructor(network: PeerNetwork, job: ReceiveJob, stored: StoredBlob) {
    const pool = createBufferPool({ budgetBytes: POOL_BYTES });
    const metrics = createMetrics({ defaults: false });
    const peer = { id: PEER_ID, role: 'node', host: '127.0.0.1', port: job.port, zone: '' } as const;
    const pace = new RateLimit(clock);
    this.#job = job;
    this.#blob = new SharedBlob(stored, pool, 0, 0, clock.now());
    this.#sender = new Neighbour(peer, () => {});
    this.#deps = { self: () => peer, network, pace, pool, clock, log, metrics };
    const wrong = (): void =>
      this.#ended.reject(new DamselflyError('DIGEST_MISMATCH', 'the transfer brought another blob'));
    const complete = (): void => this.#ended.resolve();
    this.#sink = new PieceSink({ clock, log, metrics }, { complete, wrong, dropsEverywhere: false });
  }

  /** All of the blob, over what an earlier run wrote. */
  async run(): Promise<Received> {
    const blob = this.#blob;
    if (blob.stored.complete) {
      await blob.stored.reset();
      blob.restartCheck();
      this.#ended = Promise.withResolvers<void>();
    }
    return await measured(async () => {
      await inLanes(blob.info.pieces, (piece) => this.#receive(piece));
      await this.#ended.promise;
    });
  }

  async #receive(piece: number): Promise<void> {
    const proof = {
      ...{ index: piece, hash: this.#job.source.hashes[piece]! },
      ...{ generation: GENERATION, signature: new Uint8Array() },
    };
    this.#blob.learn(proof, this.#sender.peer);
    const wanted = { blob: this.#blob, piece, neighbour: this.#sender, from: PEER_ID };
    const events = { signal: NEVER, onProgress: () => {} };
    const outcome = await fetchPiece(this.#deps, this.#sink, wanted, events);
    if (outcome !== 'received') throw new Error(`piece ${piece} is ${outcome}`);
  }
}

export const productSender: Methods = {
  /** Fills a store with one blob, which stays open. */
  prepare: async (job: { folder: string; bytes: number }): Promise<Source> => {
    const [source, stored] = await fillStore(job.folder, job.bytes);
    prepared = stored;
    return source;
  },
  listen: async (job: SendJob) => await servePieces(networkOf(job), prepared!),
};
let prepared: StoredBlob | undefined;

export const productReceiver: Methods = {
  connect: async (job: ReceiveJob) => {
    const store = await openStore(job.folder);
    receiver = new ProductReceiver(networkOf(job), job, await store.create(job.source.info));
  },
  run: () => receiver!.run(),
};
let receiver: ProductReceiver | undefined;
