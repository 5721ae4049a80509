import { DamselflyError, describeError } from '../../core/errors.ts';
import { delay } from '../../runtime/clock.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { type FetchPieceDeps, fetchPiece } from '../peers/fetch-piece.ts';
import type { Neighbour } from '../peers/neighbour.ts';
import type { CoOwners } from './co-owners.ts';

/** A supernode that is busy with nodes, or does not answer, is asked again after this long, milliseconds. */
const PAUSE_MS = 200;

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
  deps: FetchPieceDeps,
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
  deps: FetchPieceDeps,
  blob: SharedBlob,
  piece: number,
  neighbour: Neighbour,
  sink: PieceSink,
  host: CopyHost,
  signal: AbortSignal,
): Promise<void> {
  const wanted = { blob, piece, neighbour, from: host.selfId() };
  switch (await fetchPiece(deps, sink, wanted, { signal })) {
    case 'received':
      blob.usedMs = deps.clock.now();
      host.landed(blob, piece);
      return;
    case 'missing':
      throw new DamselflyError('BLOB_UNKNOWN', 'no proof of that piece', { digest: blob.digest, piece });
    case 'corrupt':
      host.ban(neighbour);
  }
}
