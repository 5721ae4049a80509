import { pieceHash } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import { pieceLength, pieceOffset } from '../core/geometry.ts';
import { sameBytes } from '../core/proof.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Trace } from '../observe/trace.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { Pace } from '../runtime/rate-limit.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { CoOwners } from './co-owners.ts';
import type { Neighbour } from './neighbour.ts';
import type { PieceSink } from './piece-sink.ts';
import type { PieceTransport } from './seams.ts';
import type { SharedBlob } from './shared-blob.ts';

/** A supernode that is busy with nodes, or does not answer, is asked again after this long, milliseconds. */
const PAUSE_MS = 200;

export interface CopyDeps {
  readonly network: PieceTransport;
  readonly pace: Pace;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
}

export interface CopyHost {
  selfId(): string;
  landed(blob: SharedBlob, piece: number): void;
  ban(neighbour: Neighbour): void;
}

/**
 * Fetches from the other owners of a blob what they read of it, one piece at a time, until it is complete here: only
 * whoever holds all of it can hold it against its digest. @throws STORE_*, ABORTED
 */
export async function copyStripes(
  deps: CopyDeps,
  blob: SharedBlob,
  owners: CoOwners,
  sink: PieceSink,
  host: CopyHost,
  signal: AbortSignal,
): Promise<void> {
  let from = 0;
  while (!blob.stored.have.complete && !blob.retired && blob.failure === undefined) {
    const found = nextHeld(blob, owners, from);
    if (found === undefined) {
      await blob.nextChange(signal);
      continue;
    }
    const { neighbour, piece } = found;
    from = piece + 1;
    try {
      await copyPiece(deps, blob, piece, neighbour, sink, host, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof DamselflyError) || error.code.startsWith('STORE_')) {
        throw error;
      }
      deps.log.debug({ peer: neighbour.peer.id, piece, error: describeError(error) }, 'stripe not copied');
      if (error.code === 'BLOB_UNKNOWN') owners.lacks(neighbour, blob, piece);
      from = piece;
      await delay(deps.clock, PAUSE_MS, signal);
    }
  }
}

/** The next piece, from there on and then from the beginning, that is missing here and held by another owner. */
function nextHeld(
  blob: SharedBlob,
  owners: CoOwners,
  from: number,
): { readonly neighbour: Neighbour; readonly piece: number } | undefined {
  const { pieces } = blob.info;
  for (let step = 0; step < pieces; step++) {
    const piece = (from + step) % pieces;
    const neighbour = blob.stored.have.has(piece) ? undefined : owners.holder(blob, piece);
    if (neighbour !== undefined) return { neighbour, piece };
  }
  return undefined;
}

async function copyPiece(
  deps: CopyDeps,
  blob: SharedBlob,
  piece: number,
  neighbour: Neighbour,
  sink: PieceSink,
  host: CopyHost,
  signal: AbortSignal,
): Promise<void> {
  const { clock, metrics, network, pace, pool, trace } = deps;
  const { id, host: address, port } = neighbour.peer;
  const { digest, info } = blob;
  const proof = blob.proof(piece);
  if (proof === undefined) {
    throw new DamselflyError('BLOB_UNKNOWN', 'no proof of that piece', { digest, piece });
  }
  const start = pieceOffset(info, piece);
  const buffer = await pool.acquire(pieceLength(info, piece), signal);
  try {
    const range = { start, end: start + buffer.bytes.length };
    const asked = { address: { host: address, port }, from: host.selfId(), digest, range };
    await network.fetch(asked, buffer.bytes, { signal, pace });
    if (sameBytes(pieceHash(buffer.bytes), proof.hash)) {
      await sink.accept(blob, proof, buffer, 'supernode', id);
      blob.usedMs = clock.now();
      host.landed(blob, piece);
      return;
    }
    metrics.piecesRejected.inc({ reason: 'proof' });
    trace?.(clock.now(), { kind: 'piece-rejected', digest, index: piece, from: id });
    host.ban(neighbour);
  } finally {
    buffer.release();
  }
}
