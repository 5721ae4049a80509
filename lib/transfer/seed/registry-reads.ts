import type { Digest } from '../../core/digest.ts';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { BlobOrigin, PeerInfo } from '../../core/node.ts';
import { NO_TRACER } from '../../observe/spans.ts';
import { delay } from '../../runtime/clock.ts';
import { LISTEN_MS, type Spread } from '../../swarm/reading-plan.ts';
import { blobFacts } from '../blob-facts.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import { type BringDeps, type BringHost, bringStripes } from './bring-stripes.ts';
import type { CoOwners } from './co-owners.ts';
import { copyStripes } from './copy-stripes.ts';
import { type IngestDeps, type IngestHost, ingest } from './origin-ingest.ts';

/** Callers whose right may be tried for one blob, should the registry refuse the first. */
const MAX_ORIGINS = 8;

export interface RegistryReadsHost {
  self(): PeerInfo;
  /** Whether we hold the piece. */
  has(blob: SharedBlob, piece: number): boolean;
  /** Linked nodes that hold it. */
  holders(blob: SharedBlob, piece: number): number;
  spread(blob: SharedBlob): Spread;
  /** Whether anybody waits for it. */
  wanted(blob: SharedBlob): boolean;
  /** Linked nodes and supernodes. */
  neighbours(): readonly Neighbour[];
  /** A new piece is on disk. */
  landed(blob: SharedBlob, piece: number): void;
  /** Tells the neighbour that the blob cannot be read here. */
  refuse(neighbour: Neighbour, digest: Digest, error: unknown): void;
  ban(neighbour: Neighbour): void;
}

/** A supernode's readings: of each blob that nodes want its part from the registry, and the rest from the other owners. */
export class RegistryReads {
  readonly #deps: IngestDeps & BringDeps;
  readonly #sink: PieceSink;
  readonly #owners: CoOwners;
  readonly #host: RegistryReadsHost;
  readonly #origins = new Map<SharedBlob, BlobOrigin[]>();
  readonly #reading = new Map<SharedBlob, Promise<unknown>>();
  readonly #copying = new Map<SharedBlob, Promise<void>>();
  readonly #bringing = new Map<SharedBlob, Promise<void>>();
  readonly #ending = new AbortController();

  constructor(deps: IngestDeps & BringDeps, sink: PieceSink, owners: CoOwners, host: RegistryReadsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#owners = owners;
    this.#host = host;
  }

  underWay(blob: SharedBlob): boolean {
    return this.#reading.has(blob);
  }

  /**
   * A node wants the blob and says where it can be read.
   * @returns the end of the reading, with what it failed with, if it did; never rejects
   */
  async start(blob: SharedBlob, origin: BlobOrigin): Promise<unknown> {
    if (blob.stored.complete) return undefined;
    const origins = this.#origins.get(blob) ?? [];
    this.#origins.set(blob, origins);
    const known = origins.some(
      (each) =>
        each.upstream === origin.upstream &&
        each.repository === origin.repository &&
        each.authorization === origin.authorization,
    );
    const underWay = this.#reading.get(blob);
    const { tracer = NO_TRACER } = this.#deps;
    // Of those that ask for one reading, it is a part of the first one's trace.
    const span = (underWay === undefined ? tracer : NO_TRACER).begin('seed blob', {
      kind: 'server',
      parent: origin.traceparent,
      facts: blobFacts(blob.info, origin),
    });
    const { traceparent = '' } = span;
    // The newest may be valid longest: it takes the place of the last one.
    if (!known) {
      const traced = traceparent === '' ? origin : { ...origin, traceparent };
      origins[Math.min(origins.length, MAX_ORIGINS - 1)] = traced;
    }
    if (underWay !== undefined) return await underWay;
    const run = this.#read(blob, origins)
      .then(() => void span.end())
      .catch((error: unknown) => {
        span.end(error instanceof DamselflyError ? error.code : 'INTERNAL');
        if (this.#ending.signal.aborted) return error;
        this.#deps.log.warn({ digest: blob.digest, error: describeError(error) }, 'blob not read');
        blob.failure = undefined;
        for (const neighbour of this.#host.neighbours()) {
          if (neighbour.sharesWithUs(blob.digest)) this.#host.refuse(neighbour, blob.digest, error);
        }
        return error;
      })
      .finally(() => {
        this.#reading.delete(blob);
        // Credentials live no longer than the reading they were given for.
        this.#origins.delete(blob);
        blob.changed();
      });
    this.#reading.set(blob, run);
    return await run;
  }

  /** What was here turned out wrong and is gone. The reading under way, or else the next one, begins anew. */
  wrong(blob: SharedBlob): void {
    if (!this.#reading.has(blob)) blob.failure = undefined;
  }

  async #read(blob: SharedBlob, origins: BlobOrigin[]): Promise<void> {
    const { signal } = this.#ending;
    const { clock } = this.#deps;
    let wasWrong = false;
    // Once more for a node that came when all others had just gone.
    do {
      await this.#sink.check(blob);
      await this.#owners.meetAll(blob, origins, signal);
      this.#bring(blob);
      try {
        await ingest(this.#deps, blob, origins, this.#sink, this.#ingestHost(blob), signal);
      } catch (error) {
        // A read that was wrong ends in the middle.
        if (blob.failure === undefined) throw error;
      }
      await this.#sink.check(blob);
      if (blob.failure !== undefined) {
        if (wasWrong || blob.failure.code !== 'DIGEST_MISMATCH') throw blob.failure;
        wasWrong = true;
        blob.failure = undefined;
        // Who had pieces of it gives up, and may come again.
        await delay(clock, LISTEN_MS, signal);
      }
    } while (!blob.stored.have.complete && this.#host.wanted(blob));
    this.#copy(blob);
  }

  #ingestHost(blob: SharedBlob): IngestHost {
    const host = this.#host;
    const owners = this.#owners;
    return {
      view: {
        pieces: blob.info.pieces,
        has: (piece) => host.has(blob, piece),
        mine: (piece) => owners.mine(blob, piece),
        holders: (piece) => host.holders(blob, piece),
        owners: (piece) => owners.holders(blob, piece),
        awaited: (piece) => owners.awaited(blob, piece),
        spread: () => host.spread(blob),
      },
      wanted: () => host.wanted(blob),
      readings: () => this.#reading.size,
      heldSomewhere: () =>
        blob.stored.have.count > 0 || host.neighbours().some((neighbour) => neighbour.holdsSome(blob.digest)),
      landed: (piece) => host.landed(blob, piece),
      idle: () => {
        this.#copy(blob);
        this.#bring(blob);
      },
      undivided: () => owners.undivided(blob),
    };
  }

  /** Fetches what other owners read, for as long as the blob is shared here. */
  #copy(blob: SharedBlob): void {
    this.#fetch(blob, this.#copying, (host, signal) =>
      copyStripes(this.#deps, blob, this.#owners, this.#sink, host, signal),
    );
  }

  /** Fetches what is ours to bring into our site, as long. */
  #bring(blob: SharedBlob): void {
    if (!this.#owners.haveSites(blob)) return;
    const origins = (): readonly BlobOrigin[] => this.#origins.get(blob) ?? [];
    this.#fetch(blob, this.#bringing, (host, signal) =>
      bringStripes(this.#deps, blob, origins, this.#owners, this.#sink, host, signal),
    );
  }

  #fetch(
    blob: SharedBlob,
    running: Map<SharedBlob, Promise<void>>,
    run: (host: BringHost, signal: AbortSignal) => Promise<void>,
  ): void {
    if (blob.stored.have.complete || running.has(blob) || blob.retired) return;
    const host = {
      selfId: () => this.#host.self().id,
      zone: () => this.#host.self().zone,
      landed: (of: SharedBlob, piece: number) => this.#host.landed(of, piece),
      ban: (neighbour: Neighbour) => this.#host.ban(neighbour),
    };
    const ended = run(host, this.#ending.signal)
      .catch((error: unknown) => {
        if (this.#ending.signal.aborted) return;
        this.#deps.log.warn({ digest: blob.digest, error: describeError(error) }, 'blob not completed');
      })
      .finally(() => running.delete(blob));
    running.set(blob, ended);
  }

  /** Ends all readings. */
  async close(): Promise<void> {
    this.#ending.abort(abortedError(AbortSignal.abort('stopping')));
    await Promise.allSettled([
      ...this.#reading.values(),
      ...this.#copying.values(),
      ...this.#bringing.values(),
    ]);
  }
}
