import { createHash, type Hash } from 'node:crypto';
import type { BlobRequest, BlobSource } from '../../core/blob-source.ts';
import { type Digest, digestAlgorithm, digestHex, isFileKey } from '../../core/digest.ts';
import { DamselflyError, hasCode } from '../../core/errors.ts';
import { pieceAt, pieceOffset } from '../../core/geometry.ts';
import type { ByteRange } from '../../core/range.ts';
import { withAbort } from '../../core/single-flight.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Tracer } from '../../observe/spans.ts';
import type { Trace } from '../../observe/trace.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BlobStore } from '../../store/store.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import { isGranted, type PeerRight, type SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool } from '../buffer-pool.ts';
import type { Limits } from '../limits.ts';
import { endsWhole, HOLD_BACK_BYTES, readShared, readStored, wantedRange } from './blob-reader.ts';
import { requireEmpty, requireSize, sizeConflict } from './blob-size.ts';
import { DoubtedRepositories } from './doubted-repositories.ts';
import { readHurried } from './hurried-read.ts';
import type { LocalFirst, LocalReader } from './local-first.ts';
import { PastSwarm } from './past-swarm.ts';
import { PullMeter } from './pull-meter.ts';
import { PullTrace } from './pull-trace.ts';
import type { Spool } from './spool.ts';

export interface ClientReadsDeps {
  readonly store: BlobStore;
  readonly origin: OriginClient;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
  readonly tracer?: Tracer | undefined;
  readonly limits: Limits;
  readonly localFirst: LocalFirst;
  /** See NodeHabits. */
  readonly wholeBlobs?: Spool | undefined;
}

/** One client's read of a blob. */
interface Pull {
  readonly digest: Digest;
  readonly meter: PullMeter;
  readonly told: PullTrace;
  readonly turn: LocalReader;
  /** The last bytes that it was given, from `start` of the blob on, when the disk has not taken them. */
  unwritten?: { readonly start: number; readonly bytes: Uint8Array };
  /** Of a whole blob that is passed on: the hash of what the client was given, since nothing of that is kept. */
  given?: Hash | undefined;
}

export interface ClientReadsHost {
  /** Why peers give us the blob; undefined where nobody asks for a right to it. Never rejects. */
  right(request: BlobRequest): Promise<PeerRight> | undefined;
  /** The whole blob, verified, when it is small and to be had in a moment. @throws ABORTED */
  small(request: BlobRequest, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * The blob as part of the swarm, started when it was not; its reader has waited since then for bytes. Undefined when it
   * is there with another size.
   */
  share(request: BlobRequest, sinceMs: number, right: PeerRight): Promise<SharedBlob | undefined>;
  /** The same for this client alone, when the disk does not take it; undefined when that cannot be. */
  passOn(request: BlobRequest, sinceMs: number, right: PeerRight): Promise<SharedBlob | undefined>;
  /** The client has all bytes of the blob before `offset`. */
  moveOn(blob: SharedBlob, offset: number): void;
  /** A client begins or ends reading the blob. */
  readers(blob: SharedBlob, change: 1 | -1): void;
  /** A client waits for this piece. */
  waitsFor(blob: SharedBlob, piece: number): void;
  storeFailed(error: DamselflyError): void;
  /** A client reads the blob no more, whether it has got all of it or not. */
  readEnded(digest: Digest): void;
}

/**
 * A node's answer to its clients: from the store when the blob is complete, from the swarm while it lands; when our own
 * disk fails, from the swarm without storing it, and straight from the registry when that does not help either.
 */
export class ClientReads implements BlobSource {
  readonly #deps: ClientReadsDeps;
  readonly #sink: PieceSink;
  readonly #host: ClientReadsHost;
  readonly #pulls = new Set<Pull>();
  readonly #past: PastSwarm;
  readonly #doubted: DoubtedRepositories;
  #begun = 0;

  constructor(deps: ClientReadsDeps, sink: PieceSink, host: ClientReadsHost) {
    this.#deps = deps;
    this.#sink = sink;
    this.#host = host;
    this.#past = new PastSwarm(deps);
    this.#doubted = new DoubtedRepositories(deps.clock);
  }

  /** How close the oldest pull of the blob under way has come to its limit so far: see {@link PullMeter}. */
  efficiency(digest: Digest): number | null {
    for (const pull of this.#pulls) if (pull.digest === digest) return pull.meter.efficiency;
    return null;
  }

  async *open(
    request: BlobRequest,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    const { clock, limits, localFirst, log, metrics } = this.#deps;
    const { digest, size } = request;
    const meter = new PullMeter(clock, limits);
    const told = new PullTrace(this.#deps, ++this.#begun, request);
    const pull: Pull = { digest, meter, told, turn: localFirst.reader() };
    let outcome: 'complete' | 'cut' = 'cut';
    this.#pulls.add(pull);
    try {
      for await (const chunk of this.#read(told.partOf(request), pull, signal)) {
        meter.handed(chunk.length);
        yield chunk;
        meter.taken();
      }
      outcome = 'complete';
      const { efficiency } = meter;
      metrics.pullEfficiency.observe(efficiency);
      log.debug({ digest, size, efficiency }, 'a client has got all it asked for');
    } finally {
      told.ended(outcome, meter);
      pull.turn.leaves();
      this.#pulls.delete(pull);
      this.#host.readEnded(digest);
    }
  }

  async *#read(request: BlobRequest, pull: Pull, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { told, turn } = pull;
    const range = wantedRange(request);
    if (request.size === 0) {
      requireEmpty(request);
      return;
    }
    let sent = range.start;
    let sinceMs = this.#deps.clock.now();
    let right: PeerRight = 'shown';
    try {
      const kept = await this.#deps.store.open(request.digest);
      try {
        if (kept?.complete === true) {
          requireSize(request, kept.info.size);
          turn.asks();
          told.here(range.end - range.start);
          for await (const chunk of readStored(kept, range, this.#deps.pool)) {
            sent += chunk.length;
            turn.got();
            told.got(chunk.length);
            yield chunk;
            turn.asks();
          }
          return;
        }
      } finally {
        await kept?.close();
      }
      sinceMs = this.#deps.clock.now();
      told.waitsFor(0);
      const asked = this.#host.right(request);
      right = asked === undefined ? 'shown' : await withAbort(asked, signal);
      const bytes = isGranted(right) ? await this.#host.small(request, signal) : undefined;
      if (bytes !== undefined) {
        turn.got();
        told.got(range.end - range.start);
        yield bytes.subarray(range.start, range.end);
        return;
      }
    } catch (error) {
      // A piece that is not what it was is gone now: it is fetched again like one that never was here.
      if (!hasCode(error, 'PIECE_MISMATCH')) {
        // In the middle of a stored blob the client is cut off: it resumes by Range, and then nothing has been sent.
        if (!isStoreTrouble(error) || sent > range.start) throw error;
        turn.waits();
        this.#host.storeFailed(error);
        yield* this.#past.read(request, { start: range.start }, pull.told, signal);
        return;
      }
    }
    if (this.#doubted.has(request.origin)) {
      turn.waits();
      this.#past.tell(request, 'doubt', 'the swarm gave blobs of this repository wrong, twice');
      yield* this.#past.read(request, { start: range.start }, pull.told, signal);
      return;
    }
    yield* this.#follow(request, { sent, sinceMs, right }, pull, signal);
  }

  /** The bytes from where the client stands on, while the swarm fetches them. */
  async *#follow(
    request: BlobRequest,
    from: { readonly sent: number; readonly sinceMs: number; readonly right: PeerRight },
    pull: Pull,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { wholeBlobs } = this.#deps;
    const { meter, told, turn } = pull;
    const range = wantedRange(request);
    let { sent } = from;
    const whole = range.start === 0 && range.end === request.size;
    let blob: SharedBlob | undefined;
    let failure: DamselflyError | undefined;
    for (;;) {
      try {
        const shared: SharedBlob | undefined =
          failure === undefined
            ? await this.#host.share(request, from.sinceMs, from.right)
            : from.right !== 'none'
              ? await this.#host.passOn(request, from.sinceMs, from.right)
              : undefined;
        if (shared === undefined) {
          if (failure !== undefined) throw failure;
          yield* this.#pastOtherSize(request, sent, pull, signal);
          return;
        }
        blob = shared;
        if (shared.passing !== undefined) {
          const hash = createHash(digestAlgorithm(request.digest));
          const given = this.#hashGiven(shared, { start: range.start, end: sent }, pull, hash);
          // Only the registry would need it. And what is passed on ends with its reader, which has yet to begin.
          pull.given = await given.catch(() => undefined);
        }
        // What the disk did not take of it is fetched again.
        delete pull.unwritten;
        const here = heldBytes(shared, range);
        told.here(here);
        meter.comesIn(here, () => shared.registryBytes);
        try {
          this.#host.moveOn(blob, sent);
          for await (const chunk of this.#readShared(blob, request, sent, pull, signal)) {
            sent += chunk.length;
            pull.given?.update(chunk);
            // What it has from before may be of a read that was wrong, of which the swarm knows the right one by now.
            if (sent === request.size && whole) requireDigest(pull.given, request.digest);
            turn.got();
            told.got(chunk.length);
            yield chunk;
            turn.asks();
            this.#host.moveOn(blob, sent);
          }
          return;
        } catch (error) {
          if (!hasCode(error, 'PIECE_MISMATCH')) throw error;
        }
      } catch (error) {
        turn.waits();
        if (hasCode(error, 'DIGEST_MISMATCH')) {
          this.#doubted.note(request.origin, error);
          // Its reader has seen nothing of it, and need not see that.
          if (wholeBlobs !== undefined) {
            // All of it is dropped first.
            while (blob?.checking !== undefined) await blob.checking;
            if (!this.#doubted.has(request.origin)) continue;
            yield* this.#past.read(request, { start: range.start }, pull.told, signal);
            return;
          }
        }
        if (!isStoreTrouble(error)) throw error;
        // Only the digest of a whole blob can be checked without keeping it, and only at its end.
        const last = failure !== undefined || !whole || wholeBlobs !== undefined;
        failure = error;
        if (last) break;
      }
    }
    // Neither disk nor swarm help: the rest comes straight from the registry, from where the client stands.
    this.#host.storeFailed(failure);
    const given = async (before: Hash): Promise<Hash> => {
      if (pull.given !== undefined) return pull.given;
      if (blob === undefined) throw failure;
      return await this.#hashGiven(blob, { start: range.start, end: sent }, pull, before);
    };
    yield* this.#past.read(request, { start: sent, given }, pull.told, signal);
  }

  /** Hashes what the client was given: as the running digest has it, or from disk, but for what the disk has not taken. */
  async #hashGiven(blob: SharedBlob, { start, end }: ByteRange, pull: Pull, before: Hash): Promise<Hash> {
    const { unwritten } = pull;
    // The client may have begun within that piece.
    const onDisk = Math.max(start, unwritten?.start ?? end);
    const running = start === 0 ? await this.#sink.runningHash(blob, onDisk) : undefined;
    const hash = running ?? before;
    if (running === undefined) await this.#sink.hashHeld(blob, { start, end: onDisk }, hash);
    if (unwritten !== undefined) hash.update(unwritten.bytes.subarray(onDisk - unwritten.start));
    return hash;
  }

  /** One of two manifests is wrong about the size, and only the registry can tell which: it is read for this reader alone. */
  async *#pastOtherSize(
    request: BlobRequest,
    sent: number,
    pull: Pull,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    pull.turn.waits();
    this.#past.tell(request, 'size', 'the blob is in the swarm with another size');
    if (sent > wantedRange(request).start) throw sizeConflict(request);
    yield* this.#past.read(request, { start: sent }, pull.told, signal);
  }

  async *#readShared(
    blob: SharedBlob,
    request: BlobRequest,
    from: number,
    pull: Pull,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { told, turn } = pull;
    const range = wantedRange(request);
    const hooks = {
      heldBackBytes: this.#heldBackBytes(request),
      waitsFor: (piece: number) => {
        turn.waits();
        told.waitsFor(piece);
        this.#host.waitsFor(blob, piece);
      },
      unwritten: (start: number, bytes: Uint8Array) => {
        pull.unwritten = { start, bytes };
      },
    };
    this.#host.readers(blob, 1);
    try {
      hooks.waitsFor(pieceAt(blob.info, from));
      // What is a whole blob after all waits for its digest.
      const part = from === range.start && request.rangeIs === 'part' && hooks.heldBackBytes === 0;
      const hurried = part ? await readHurried(this.#deps, blob, request, signal) : undefined;
      if (hurried === undefined) {
        yield* readShared(blob, range, hooks, this.#deps.pool, signal, from);
        return;
      }
      for await (const chunk of hurried.bytes) {
        this.#deps.metrics.receivedBytes.inc({ source: 'origin' }, chunk.length);
        told.got(chunk.length, true);
        yield chunk;
      }
    } finally {
      turn.waits();
      this.#host.readers(blob, -1);
    }
  }

  #heldBackBytes(request: BlobRequest): number {
    if (this.#deps.wholeBlobs !== undefined) return request.size;
    return endsWhole(request) ? HOLD_BACK_BYTES : 0;
  }
}

function heldBytes({ info, stored }: SharedBlob, range: ByteRange): number {
  let held = 0;
  for (let at = range.start; at < range.end; ) {
    const piece = pieceAt(info, at);
    const end = Math.min(range.end, pieceOffset(info, piece) + info.pieceBytes);
    if (stored.have.has(piece)) held += end - at;
    at = end;
  }
  return held;
}

/** @param given undefined: not known @throws DIGEST_MISMATCH when all that a client is given is not the blob */
function requireDigest(given: Hash | undefined, digest: Digest): void {
  if (given === undefined || isFileKey(digest)) return;
  if (given.copy().digest('hex') === digestHex(digest)) return;
  const message = 'what the client was given before the disk failed is not of this blob';
  throw new DamselflyError('DIGEST_MISMATCH', message, { expected: digest });
}

/** What reading past the store can help against. */
function isStoreTrouble(error: unknown): error is DamselflyError {
  return (['STORE_FULL', 'STORE_FAILED', 'STORE_READ_ONLY'] as const).some((code) => hasCode(error, code));
}
