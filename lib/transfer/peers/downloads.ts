import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerCore, RequestFailure } from '../../swarm/peer-core.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { type FetchPieceDeps, fetchPiece } from './fetch-piece.ts';
import type { Neighbour } from './neighbour.ts';

/** Often enough for a core that suspects a silent peer after 200 ms; each network read would be far too often. */
const PROGRESS_STEP_MS = 50;

export interface DownloadsHost {
  self(): string;
  /** Gives the core an event and carries out what it decides. */
  report(event: (core: PeerCore, now: number) => void): void;
  /** The neighbour sent wrong bytes. */
  distrust(neighbour: Neighbour): void;
}

/** Carries out `request` actions: fetch a piece, verify it against its proof, hand it to the sink, tell the core. */
export class Downloads {
  readonly #deps: FetchPieceDeps;
  readonly #sink: PieceSink;
  readonly #host: DownloadsHost;
  readonly #running = new Map<
    number,
    { readonly controller: AbortController; readonly done: Promise<void> }
  >();
  readonly #all = new Set<Promise<void>>();

  constructor(deps: FetchPieceDeps, sink: PieceSink, host: DownloadsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  start(request: number, neighbour: Neighbour | undefined, blob: SharedBlob, piece: number): void {
    const controller = new AbortController();
    const done = this.#run(request, neighbour, blob, piece, controller).finally(() => {
      this.#all.delete(done);
      this.#deps.metrics.downloadsActive.set(this.#all.size);
    });
    this.#running.set(request, { controller, done });
    this.#all.add(done);
    this.#deps.metrics.downloadsActive.set(this.#all.size);
  }

  /** The core gave the request up; its number may be used again at once. */
  cancel(request: number): void {
    const running = this.#running.get(request);
    this.#running.delete(request);
    running?.controller.abort(new DamselflyError('ABORTED', 'another copy arrived first'));
  }

  async close(): Promise<void> {
    for (const request of [...this.#running.keys()]) this.cancel(request);
    await Promise.allSettled(this.#all);
  }

  async #run(
    request: number,
    neighbour: Neighbour | undefined,
    blob: SharedBlob,
    piece: number,
    controller: AbortController,
  ): Promise<void> {
    const { clock, log } = this.#deps;
    // The core is never called back from inside its own decision.
    await Promise.resolve();
    const live = (): boolean => this.#running.get(request)?.controller === controller;
    let told = false;
    const onStored = (): void => {
      told = true;
      const stillLive = live();
      if (stillLive) this.#running.delete(request);
      if (!blob.retired) this.#received(stillLive ? request : undefined, blob, piece);
    };
    let outcome: RequestFailure | 'received';
    try {
      outcome = await this.#fetch(request, neighbour, blob, piece, controller.signal, { live, onStored });
    } catch (error) {
      outcome = failureOf(error);
      if (live()) {
        log.debug({ peer: neighbour?.peer.id, piece, error: describeError(error) }, 'piece not fetched');
      }
      if (outcome === 'local' && error instanceof DamselflyError && error.code !== 'ABORTED') {
        blob.failure = error;
        blob.changed();
      }
    }
    if (told) return;
    const stillLive = live();
    if (stillLive) this.#running.delete(request);
    if (blob.retired) return;
    if (outcome === 'received') this.#received(stillLive ? request : undefined, blob, piece);
    else if (stillLive) {
      const failure = outcome;
      this.#host.report((core) => core.failed(request, failure, clock.now()));
    }
    if (outcome === 'corrupt' && neighbour !== undefined) this.#host.distrust(neighbour);
  }

  /** @param request undefined when the core has given it up, and may have used its number again */
  #received(request: number | undefined, blob: SharedBlob, piece: number): void {
    const { clock } = this.#deps;
    this.#host.report((core) => {
      if (request !== undefined) core.received(request, clock.now());
      else core.obtained(blob.slot, piece, clock.now());
    });
  }

  async #fetch(
    request: number,
    neighbour: Neighbour | undefined,
    blob: SharedBlob,
    piece: number,
    signal: AbortSignal,
    { live, onStored }: { readonly live: () => boolean; readonly onStored: () => void },
  ): Promise<RequestFailure | 'received'> {
    if (neighbour === undefined) return 'missing';
    const { clock } = this.#deps;
    let toldMs = Number.NEGATIVE_INFINITY;
    const onProgress = (): void => {
      const now = clock.now();
      if (now - toldMs < PROGRESS_STEP_MS || !live()) return;
      toldMs = now;
      this.#host.report((core) => core.progressed(request, now));
    };
    // The next request need not wait for hash and disk.
    const onArrived = (): void => {
      if (live()) this.#host.report((core) => core.arrived(request, clock.now()));
    };
    const wanted = { blob, piece, neighbour, from: this.#host.self() };
    return await fetchPiece(this.#deps, this.#sink, wanted, { signal, onProgress, onArrived, onStored });
  }
}

function failureOf(error: unknown): RequestFailure {
  if (!(error instanceof DamselflyError)) return 'unreachable';
  switch (error.code) {
    case 'PEER_BUSY':
      return 'busy';
    case 'BLOB_UNKNOWN':
      return 'missing';
    case 'STORE_FULL':
    case 'STORE_FAILED':
    case 'STORE_READ_ONLY':
    case 'ABORTED':
      return 'local';
    default:
      return 'unreachable';
  }
}
