import { pieceHash } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';
import { pieceLength, pieceOffset } from '../../core/geometry.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool, PieceBuffer } from '../buffer-pool.ts';
import type { OneRead } from '../proofs/vouching.ts';

export interface ReadRunDeps {
  readonly origin: Pick<OriginClient, 'readBlob'>;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly sink: PieceSink;
}

/** Pieces of a blob that follow one another, to be read in one go; those that are here are passed over. */
export interface PieceRun {
  readonly blob: SharedBlob;
  readonly first: number;
  readonly last: number;
  /** Gives the proofs. */
  readonly read: OneRead;
}

export interface RunProgress {
  /** Bytes came. */
  moved(): void;
  /** The piece is verified by our own hash, and stored. */
  obtained(piece: number): void;
  /** The registry sends no parts, only the whole blob. @returns whether that changes what is to be read: then nothing is */
  undivided(): boolean;
}

/**
 * Reads pieces from the registry by one Range request, into the store.
 * @throws UPSTREAM_*, STORE_*, ABORTED
 */
export async function readRun(
  { clock, origin, pool, sink }: ReadRunDeps,
  { blob, first, last, read }: PieceRun,
  progress: RunProgress,
  signal: AbortSignal,
): Promise<void> {
  const { info, stored } = blob;
  if (blob.origin === undefined) return;
  const start = pieceOffset(info, first);
  const end = pieceOffset(info, last) + pieceLength(info, last);
  const wanted = { origin: blob.origin, digest: blob.digest, size: info.size, start, end };
  const askedMs = clock.now();
  const unread = new AbortController();
  const body = await origin.readBlob(wanted, { signal: AbortSignal.any([signal, unread.signal]) });
  const part = first > 0 || last < info.pieces - 1;
  if (body.whole && part && progress.undivided()) {
    unread.abort(new DamselflyError('ABORTED', 'the registry sends more than was asked for'));
    return;
  }
  let index = first;
  let filled = 0;
  let buffer: PieceBuffer | undefined;
  try {
    for await (const chunk of body.bytes) {
      for (let taken = 0; taken < chunk.length; ) {
        const length = pieceLength(info, index);
        if (filled === 0 && !stored.have.has(index)) buffer = await pool.acquire(length, signal);
        const bytes = chunk.subarray(taken, taken + length - filled);
        buffer?.bytes.set(bytes, filled);
        filled += bytes.length;
        taken += bytes.length;
        // Bytes show that the registry answers, even before a slow piece is whole.
        blob.lastProgressMs = clock.now();
        progress.moved();
        if (filled < length) continue;
        if (buffer !== undefined) {
          const proof = read.proof(index, pieceHash(buffer.bytes));
          await sink.accept(blob, proof, buffer, 'origin', { askedMs, arrivedMs: clock.now() });
          progress.obtained(index);
          buffer.release();
          buffer = undefined;
        }
        if (index === last) return;
        index++;
        filled = 0;
      }
    }
  } finally {
    buffer?.release();
  }
}
