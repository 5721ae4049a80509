import { pieceHash } from '../../core/digest.ts';
import { DamselflyError, describeError } from '../../core/errors.ts';
import { type BlobInfo, pieceLength, pieceOffset } from '../../core/geometry.ts';
import type { BlobOrigin } from '../../core/node.ts';
import { type PieceProof, sameBytes } from '../../core/proof.ts';
import type { Logger } from '../../observe/log.ts';
import type { Tracer } from '../../observe/spans.ts';
import { attemptsWorth, isWorthRetrying, type OriginClient } from '../../origin/origin-client.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import { ReadAhead } from '../../swarm/read-ahead.ts';
import { LISTEN_MS, ReadingPlan, type ReadingView, type Run } from '../../swarm/reading-plan.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool, PieceBuffer } from '../buffer-pool.ts';
import { OneRead, type Vouching } from '../proofs/vouching.ts';

const FIRST_RETRY_MS = 200;
/** How often a supernode looks whether there is something to read now. */
const LOOK_MS = 500;
/** The same while it has read far ahead of the nodes. */
const AHEAD_LOOK_MS = 20;
/** What need not be read is read all the same when it is shorter than this: another request would take as long. */
const SHORT_GAP_BYTES = 1024 * 1024;
/** The same as a share of the blob, so that gaps do not add up to much of a small one. */
const SHORT_GAP_SHARE = 1 / 64;

export interface IngestDeps {
  readonly origin: Pick<OriginClient, 'readBlob'>;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly tracer?: Tracer | undefined;
  readonly vouching?: Vouching | undefined;
}

export interface IngestHost {
  /** The blob as the core knows it. */
  readonly view: ReadingView;
  /** Whether anybody waits for it. */
  wanted(): boolean;
  /** Blobs that are read now, this one included. */
  readings(): number;
  /** Nothing needs to be read now. */
  idle(): void;
  /** The registry sends no parts. @returns whether that changes what is ours to read */
  undivided(): boolean;
  /** Whether a node said already that it holds pieces, or we do: then not all of it need be read. */
  heldSomewhere(): boolean;
  /** The piece is on disk. */
  landed(index: number): void;
}

/**
 * Reads into the store what is ours to read of a blob and nobody holds, piece by piece, each offered to the swarm as soon as it is on disk,
 * for as long as nodes share the blob and it is incomplete here: what a node held may be gone with it. It goes little
 * further than nodes have taken, as what is here alone is lost with us. A broken read goes on from the last whole piece.
 * `origins` are the ways to read it, the first caller's first; one that the registry refuses is dropped from the list.
 * @throws the last UPSTREAM_* error, STORE_*, ABORTED
 */
export async function ingest(
  deps: IngestDeps,
  blob: SharedBlob,
  origins: BlobOrigin[],
  sink: PieceSink,
  host: IngestHost,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = deps;
  if (host.heldSomewhere()) await delay(clock, LISTEN_MS, signal);
  const { view } = host;
  const plan = new ReadingPlan(view, shortGap(blob.info), clock.now());
  // What other supernodes hold is not lost with us either: another site may take faster than our own nodes.
  const others = (piece: number): number => view.holders(piece) + view.owners(piece);
  const ahead = new ReadAhead(blob.info.pieceBytes, others, clock.now());
  const read = new OneRead(deps, blob.info, firstProof(blob)?.generation);
  let attempt = 0;
  // A registry that sends no parts is asked for all at once.
  let parts = true;
  for (;;) {
    await untilNear(deps, blob, ahead, host, signal);
    const before = blob.stored.have.count;
    const origin = origins[0];
    if (blob.stored.have.complete || blob.failure !== undefined) return;
    if (origin === undefined || !host.wanted()) return;
    const all = plan.next(clock.now());
    if (all === undefined) {
      host.idle();
      await delay(clock, LOOK_MS, signal);
      continue;
    }
    const short = parts && isPaced(blob, host) && !mayRunOut(origin);
    const most: number = short ? ahead.nextRequest(host.readings()) : blob.info.pieces;
    const run = { ...all, end: Math.min(all.end, all.first + most) };
    try {
      parts = (await readRun(deps, { blob, origin, read, run, plan, ahead }, sink, host, signal)) && parts;
      attempt = 0;
    } catch (error) {
      if (!(error instanceof DamselflyError) || !error.code.startsWith('UPSTREAM_')) throw error;
      const refused = !isWorthRetrying(error);
      attempt = blob.stored.have.count > before ? 1 : attempt + 1;
      const facts = {
        digest: blob.digest,
        upstream: origin.upstream,
        repository: origin.repository,
        attempt,
      };
      log.warn({ ...facts, error: describeError(error) }, 'registry read broke off');
      if (refused) {
        origins.shift();
        if (origins.length === 0) throw error;
      } else if (attempt >= attemptsWorth(error)) {
        throw error;
      } else {
        await delay(clock, FIRST_RETRY_MS * 2 ** attempt, signal);
      }
    }
  }
}

/** Proof of a piece that an earlier read of ours brought. */
function firstProof({ info, stored }: SharedBlob): PieceProof | undefined {
  let held = 0;
  while (held < info.pieces && !stored.have.has(held)) held++;
  return stored.proof(held);
}

/** Pieces of a gap in what is to be read that does not end a run. */
function shortGap({ pieceBytes, size }: BlobInfo): number {
  return Math.floor(Math.min(SHORT_GAP_BYTES, size * SHORT_GAP_SHARE) / pieceBytes);
}

interface Read {
  readonly blob: SharedBlob;
  readonly origin: BlobOrigin;
  /** Gives the proofs. */
  readonly read: OneRead;
  readonly run: Run;
  readonly plan: ReadingPlan;
  readonly ahead: ReadAhead;
}

/**
 * Whether it is read for nodes only: whoever waits for all of it here has it as fast as it comes. Nothing is waited for
 * when others have brought the rest meanwhile, or it turned out wrong.
 */
function isPaced({ failure, readers, stored }: SharedBlob, { view }: IngestHost): boolean {
  return readers === 0 && failure === undefined && !stored.have.complete && view.spread().lackers > 0;
}

/** Whether the next request may be refused where this one is not: a caller's token lives for a minute or some more. */
function mayRunOut({ authorization = '' }: BlobOrigin): boolean {
  return /^bearer /i.test(authorization);
}

/** Waits while the blob has been read far ahead of the nodes. */
async function untilNear(
  { clock }: IngestDeps,
  blob: SharedBlob,
  ahead: ReadAhead,
  host: IngestHost,
  signal: AbortSignal,
): Promise<void> {
  while (isPaced(blob, host) && !ahead.mayRead(clock.now(), host.readings())) {
    await delay(clock, AHEAD_LOOK_MS, signal);
  }
}

/**
 * One registry read, to its end or to where it is not worth it any more. The next piece fills while one is written.
 * @returns whether the registry sends parts, as far as was seen
 */
async function readRun(
  deps: IngestDeps,
  { blob, origin, read, run, plan, ahead }: Read,
  sink: PieceSink,
  host: IngestHost,
  signal: AbortSignal,
): Promise<boolean> {
  const { info } = blob;
  let index = run.first;
  const start = pieceOffset(info, run.first);
  // Without an end when that is the blob's: most registries answer a whole blob faster than a part of it.
  const end = run.end === info.pieces ? {} : { end: pieceOffset(info, run.end) };
  const broken = new AbortController();
  const body = await deps.origin.readBlob(
    { origin, digest: blob.digest, size: info.size, start, ...end },
    { signal: AbortSignal.any([signal, broken.signal]) },
  );
  const isWhole = body.whole && (run.first > 0 || run.end < info.pieces);
  if (isWhole && host.undivided()) {
    broken.abort(new DamselflyError('ABORTED', 'the registry sends more than was asked for'));
    return false;
  }
  let writing = Promise.resolve();
  let buffer: PieceBuffer | undefined;
  let filled = 0;
  const land = async (at: number, full: PieceBuffer): Promise<void> => {
    try {
      const hash = pieceHash(full.bytes);
      const { kept } = body;
      if (kept !== undefined && !sameBytes(hash, kept.hash(at))) {
        kept.wrong();
        throw new DamselflyError('UPSTREAM_BROKEN', 'other bytes than were kept', {
          digest: blob.digest,
          piece: at,
        });
      }
      await sink.accept(blob, read.proof(at, hash), full, kept === undefined ? 'origin' : 'object-store');
      host.landed(at);
      ahead.landed(at);
    } finally {
      full.release();
    }
  };
  try {
    for await (const chunk of body.bytes) {
      for (let taken = 0; taken < chunk.length; ) {
        buffer ??= await deps.pool.acquire(pieceLength(info, index), signal);
        const part = chunk.subarray(taken, taken + buffer.bytes.length - filled);
        buffer.bytes.set(part, filled);
        filled += part.length;
        taken += part.length;
        if (filled < buffer.bytes.length) continue;
        await writing;
        const full = buffer;
        buffer = undefined;
        filled = 0;
        writing = land(index++, full);
        writing.catch(() => {});
        if (index < run.end) await untilNear(deps, blob, ahead, host, signal);
        if (index < run.end && !plan.goesOn(run, index)) {
          await writing;
          return !isWhole;
        }
      }
    }
    await writing;
    return !isWhole;
  } finally {
    buffer?.release();
    await writing.catch(() => {});
  }
}
