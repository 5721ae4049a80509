import { pieceHash } from '../core/digest.ts';
import { abortedError, DamselflyError, describeError } from '../core/errors.ts';
import { pieceLength, pieceOffset } from '../core/geometry.ts';
import type { PieceProof } from '../core/proof.ts';
import { hash53 } from '../core/rendezvous.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Trace } from '../observe/trace.ts';
import { isWorthRetrying, type OriginClient } from '../origin/origin-client.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import { type Rng, randomHex } from '../runtime/rng.ts';
import { stepsIn } from '../swarm/patience.ts';
import type { BufferPool, PieceBuffer } from './buffer-pool.ts';
import type { Neighbour } from './neighbour.ts';
import type { PieceSink } from './piece-sink.ts';
import type { SharedBlob } from './shared-blob.ts';

/** A client waits for the same piece so long: it comes next, whoever else may be reading it too. */
const IMPATIENT_MS = 4000;
/** Pieces in one registry read: few while others read too (they share what they read), many when alone. */
const RUN_PIECES = 4;
const RUN_PIECES_ALONE = 32;
const ATTEMPTS = 5;
const FIRST_RETRY_MS = 250;

export interface FallbackDeps {
  readonly origin: OriginClient;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
}

export interface FallbackHost {
  selfId(): string;
  reserve(blob: SharedBlob, piece: number): boolean;
  unreserve(blob: SharedBlob, piece: number): void;
  obtained(blob: SharedBlob, piece: number): void;
  inFlight(blob: SharedBlob): number;
  holders(blob: SharedBlob, piece: number): number;
  sharers(blob: SharedBlob): readonly Neighbour[];
  supernodeExpected(): boolean;
  /** A tracker that can be reached has yet to say who shares the blob. */
  answerOwed(blob: SharedBlob): boolean;
  /** A supernode that owns the blob is connected and shares it. */
  seeded(blob: SharedBlob): boolean;
  /** All download slots work for other blobs. */
  busyElsewhere(blob: SharedBlob): boolean;
  /** A client waits for pieces of any blob. */
  clientsWait(): boolean;
}

/**
 * The way out when the swarm does not deliver: the node reads missing pieces from the registry by Range while its
 * client notices nothing, and shares them like any other. Nodes that fall back together start at different places and
 * skip what a neighbour already holds, so that between them they read a blob about once.
 */
export class RegistryFallback {
  readonly #deps: FallbackDeps;
  readonly #sink: PieceSink;
  readonly #host: FallbackHost;
  readonly #running = new Set<SharedBlob>();
  readonly #ending = new AbortController();

  constructor(deps: FallbackDeps, sink: PieceSink, host: FallbackHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
  }

  /** Steps in when a client waits and nothing has come for too long. @returns whether it did */
  consider(blob: SharedBlob): boolean {
    if (!this.#isWanted(blob) || blob.stored.complete || blob.failure !== undefined) return false;
    if (blob.origin === undefined || this.#running.has(blob)) return false;
    const company =
      this.#host.inFlight(blob) > 0 || this.#host.sharers(blob).length > 0 || this.#host.supernodeExpected();
    const now = this.#deps.clock.now();
    // Slots that work for other blobs are no sign of trouble either, until this blob's client has waited too long.
    // And in a large crowd on slow links the first piece takes its time: were everybody to step in, the registry would
    // have the crowd that the supernode is there to spare it.
    const young = blob.owned && blob.stored.have.count === 0;
    const patient = young || this.#host.seeded(blob) || this.#host.busyElsewhere(blob);
    const owed = this.#host.answerOwed(blob);
    const waiting = {
      company,
      patient,
      owed,
      idleMs: now - blob.lastProgressMs,
      answeredMs: now - blob.answeredMs,
    };
    if (!stepsIn(waiting, this.#share(blob, 'wait'))) return false;
    this.#start(blob, company ? 'stalled' : 'no-peers');
    return true;
  }

  /** The supernode cannot read the blob: the node tries under its own caller's right, at once. */
  supernodeFailed(blob: SharedBlob): void {
    if (
      this.#isWanted(blob) &&
      !blob.stored.complete &&
      blob.origin !== undefined &&
      !this.#running.has(blob)
    ) {
      this.#start(blob, 'supernode-failed');
    }
  }

  /** Our own disk failed: counted here, carried out by the reader. */
  noteDirect(error: DamselflyError): void {
    this.#deps.metrics.fallback.inc({ reason: 'store' });
    this.#deps.log.warn(
      { error: describeError(error) },
      'the store fails: reading past it from the registry',
    );
  }

  close(): void {
    this.#ending.abort(abortedError(AbortSignal.abort('stopping')));
  }

  /** A client reads it; or it is fetched ahead of any, which those who read others go before. */
  #isWanted(blob: SharedBlob): boolean {
    return blob.readers > 0 || (blob.prefetched && !this.#host.clientsWait());
  }

  #start(blob: SharedBlob, reason: string): void {
    const { clock, log, metrics, trace } = this.#deps;
    metrics.fallback.inc({ reason });
    trace?.(clock.now(), { kind: 'fallback', digest: blob.digest, reason });
    log.warn(
      { digest: blob.digest, reason, held: blob.stored.have.count, pieces: blob.info.pieces },
      'reading from the registry',
    );
    this.#running.add(blob);
    void this.#run(blob).finally(() => {
      this.#running.delete(blob);
      blob.lastProgressMs = clock.now();
    });
  }

  async #run(blob: SharedBlob): Promise<void> {
    const { clock, log, rng } = this.#deps;
    const generation = randomHex(rng, 8);
    let attempt = 0;
    const startedMs = clock.now();
    while (
      this.#isWanted(blob) &&
      !blob.stored.complete &&
      !blob.retired &&
      // Gone when all of it turned out wrong; the next reader brings it.
      blob.origin !== undefined &&
      blob.lastSupernodeMs <= startedMs
    ) {
      const run = this.#reserveRun(blob);
      if (run.length === 0) return;
      try {
        await this.#read(blob, run, generation);
        attempt = 0;
        // Slow is not failed: with a living supernode only the client's next pieces are read past it.
        if (this.#host.seeded(blob)) return;
      } catch (error) {
        attempt++;
        const code = error instanceof DamselflyError ? error.code : 'INTERNAL';
        log.warn({ digest: blob.digest, attempt, error: describeError(error) }, 'registry read failed');
        if (!isWorthRetrying(error) || attempt >= ATTEMPTS) {
          if (code === 'ABORTED') return;
          blob.failure =
            error instanceof DamselflyError ? error : new DamselflyError('INTERNAL', describeError(error));
          blob.changed();
          return;
        }
        await delay(clock, FIRST_RETRY_MS * 2 ** attempt, this.#ending.signal).catch(() => {});
      } finally {
        for (const piece of run) this.#host.unreserve(blob, piece);
      }
    }
  }

  /** The next pieces to read: a run of missing ones that no neighbour holds, reserved in the core. */
  #reserveRun(blob: SharedBlob): number[] {
    const { pieces } = blob.info;
    const alone = this.#host.sharers(blob).length === 0;
    const impatient = this.#host.seeded(blob) || this.#deps.clock.now() - blob.waitingSinceMs > IMPATIENT_MS;
    const from = alone || impatient ? blob.cursor : Math.floor(this.#share(blob, 'start') * pieces);
    // A client at its end waits for the digest, and so for whatever is missing before it.
    const awaited = impatient ? firstMissing(blob, blob.cursor) : undefined;
    const wanted = (piece: number): boolean =>
      !blob.stored.have.has(piece) &&
      (piece === awaited || this.#host.holders(blob, piece) === 0) &&
      this.#host.reserve(blob, piece);
    const run: number[] = [];
    const most = alone && blob.readers > 0 ? RUN_PIECES_ALONE : this.#host.seeded(blob) ? 1 : RUN_PIECES;
    for (let step = 0; step < pieces && run.length < most; step++) {
      const piece = (from + step) % pieces;
      const follows = run.length > 0 && piece === (run.at(-1) ?? 0) + 1;
      if (run.length > 0 && !follows) break;
      if (wanted(piece)) run.push(piece);
      else if (run.length > 0) break;
    }
    return run;
  }

  async #read(blob: SharedBlob, run: readonly number[], generation: string): Promise<void> {
    const { origin, pool } = this.#deps;
    const first = run[0] ?? 0;
    const last = run.at(-1) ?? 0;
    const start = pieceOffset(blob.info, first);
    const end = pieceOffset(blob.info, last) + pieceLength(blob.info, last);
    if (blob.origin === undefined) return;
    const body = await origin.readBlob(
      { origin: blob.origin, digest: blob.digest, size: blob.info.size, start, end },
      { signal: this.#ending.signal },
    );
    let index = first;
    let filled = 0;
    let buffer = await pool.acquire(pieceLength(blob.info, index), this.#ending.signal);
    try {
      for await (const chunk of body.bytes) {
        for (let taken = 0; taken < chunk.length; ) {
          const part = chunk.subarray(taken, taken + buffer.bytes.length - filled);
          buffer.bytes.set(part, filled);
          filled += part.length;
          taken += part.length;
          // Bytes show that the registry answers, even before a slow piece is whole.
          blob.lastProgressMs = this.#deps.clock.now();
          if (filled < buffer.bytes.length) continue;
          await this.#take(blob, index, buffer, generation);
          buffer.release();
          if (index === last) return;
          index++;
          filled = 0;
          buffer = await pool.acquire(pieceLength(blob.info, index), this.#ending.signal);
        }
      }
    } finally {
      buffer.release();
    }
  }

  async #take(blob: SharedBlob, index: number, piece: PieceBuffer, generation: string): Promise<void> {
    const proof: PieceProof = {
      index,
      hash: pieceHash(piece.bytes),
      generation,
      signature: new Uint8Array(),
    };
    await this.#sink.accept(blob, proof, piece, 'origin');
    this.#host.obtained(blob, index);
  }

  /** A number in [0, 1) that differs from node to node and blob to blob. */
  #share(blob: SharedBlob, purpose: string): number {
    return hash53(`${this.#host.selfId()}\n${blob.digest}\n${purpose}`) / 2 ** 53;
  }
}

/** The first missing piece from there on, or else from the beginning. */
function firstMissing({ info, stored }: SharedBlob, from: number): number | undefined {
  for (let step = 0; step < info.pieces; step++) {
    const piece = (from + step) % info.pieces;
    if (!stored.have.has(piece)) return piece;
  }
  return undefined;
}
