import { DamselflyError, describeError, hasCode } from '../../core/errors.ts';
import type { BlobOrigin } from '../../core/node.ts';
import { delay, every } from '../../runtime/clock.ts';
import type { Pace } from '../../runtime/rate-limit.ts';
import type { Rng } from '../../runtime/rng.ts';
import { ImportPlan } from '../../swarm/import-plan.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { type FetchPieceDeps, fetchPiece } from '../peers/fetch-piece.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { CoOwners } from './co-owners.ts';
import type { CopyHost } from './copy-stripes.ts';

/** How often a gateway looks after its links to those that have what it is to bring. */
const LOOK_MS = 500;
/** A supernode that is busy, or does not answer, is asked again after this long. */
const PAUSE_MS = 200;

export interface BringDeps extends FetchPieceDeps {
  readonly rng: Rng;
  /** Of what crosses the border of our zone. */
  readonly border: Pace;
}

export interface BringHost extends CopyHost {
  /** Our own. */
  zone(): string;
}

/**
 * Brings into our site what is ours to bring of a blob, until it is complete here: tells those that have it, or are to
 * get it, where it can be read, and fetches each piece as soon as one of them holds it. @throws STORE_*, ABORTED
 * @param origins where it can be read, as far as callers have said
 */
export async function bringStripes(
  deps: BringDeps,
  blob: SharedBlob,
  origins: () => readonly BlobOrigin[],
  owners: CoOwners,
  sink: PieceSink,
  host: BringHost,
  signal: AbortSignal,
): Promise<void> {
  const plan = new ImportPlan<Neighbour>(
    {
      pieces: blob.info.pieces,
      lacks: (piece) => !blob.stored.have.has(piece) && owners.brings(blob, piece),
      holder: (piece, mayAsk) => owners.bringer(blob, piece, mayAsk),
    },
    deps.rng.int(blob.info.pieces),
  );
  const ending = new AbortController();
  const either = AbortSignal.any([signal, ending.signal]);
  const failures: DamselflyError[] = [];
  const fetchOne = async (piece: number, source: Neighbour): Promise<void> => {
    try {
      const far = source.peer.zone !== host.zone();
      const pace = far ? both(deps.pace, deps.border) : deps.pace;
      const wanted = { blob, piece, neighbour: source, from: host.selfId() };
      const outcome = await fetchPiece({ ...deps, pace }, sink, wanted, { signal: either });
      if (outcome === 'corrupt') host.ban(source);
      else if (outcome === 'missing') owners.lacks(source, blob, piece);
      else {
        blob.usedMs = deps.clock.now();
        host.landed(blob, piece);
      }
    } catch (error) {
      if (either.aborted) return;
      if (error instanceof DamselflyError && error.code.startsWith('STORE_')) failures.push(error);
      if (hasCode(error, 'BLOB_UNKNOWN')) owners.lacks(source, blob, piece);
      deps.log.debug({ peer: source.peer.id, piece, error: describeError(error) }, 'stripe not brought');
      await delay(deps.clock, PAUSE_MS, either).catch(() => {});
    } finally {
      plan.ended(piece);
      blob.changed();
    }
  };
  const running = new Set<Promise<void>>();
  // A link may have gone without any news of the blob.
  const stopLooking = every(deps.clock, LOOK_MS, () => blob.changed());
  try {
    while (!blob.stored.have.complete && !blob.retired && blob.failure === undefined) {
      if (failures[0] !== undefined) throw failures[0];
      owners.seek(blob, origins());
      for (let next = plan.next(); next !== undefined; next = plan.next()) {
        const run = fetchOne(next.piece, next.source).finally(() => running.delete(run));
        running.add(run);
      }
      await blob.nextChange(signal);
    }
  } finally {
    stopLooking();
    ending.abort();
    await Promise.all(running);
  }
}

/** What keeps to both. */
function both(a: Pace, b: Pace): Pace {
  return {
    get quantumBytes() {
      return Math.min(a.quantumBytes, b.quantumBytes);
    },
    take(bytes, signal) {
      const [first, second] = [a.take(bytes, signal), b.take(bytes, signal)];
      if (first === undefined || second === undefined) return first ?? second;
      return Promise.all([first, second]).then(() => {});
    },
  };
}
