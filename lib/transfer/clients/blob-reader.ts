import type { BlobRequest } from '../../core/blob-source.ts';
import { pieceAt, pieceOffset } from '../../core/geometry.ts';
import type { ByteRange } from '../../core/range.ts';
import { withAbort } from '../../core/single-flight.ts';
import type { StoredBlob } from '../../store/store.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool } from '../buffer-pool.ts';
import { ChunkMemory } from '../chunk-memory.ts';

/** Kept back until the whole digest has matched, so that no client ever holds a complete wrong blob. */
export const HOLD_BACK_BYTES = 64 * 1024;

export function wantedRange(request: BlobRequest): ByteRange {
  return request.range ?? { start: 0, end: request.size };
}

/** Whether the reader will have the whole blob once it has the range. */
export function endsWhole(request: BlobRequest): boolean {
  const { start, end } = wantedRange(request);
  return end === request.size && (start === 0 || request.rangeIs === 'rest');
}

/** The bytes of a blob that is complete in the store. */
export async function* readStored(
  stored: StoredBlob,
  range: ByteRange,
  pool: BufferPool,
): AsyncGenerator<Uint8Array> {
  const memory = new ChunkMemory(pool, range);
  try {
    for (let at = range.start; at < range.end; ) {
      const chunk = memory.at(at).subarray(0, range.end - at);
      await stored.read(at, chunk);
      at += chunk.length;
      yield chunk;
    }
  } finally {
    memory.release();
  }
}

/** The first piece from that one on that is not here, or that one. */
function firstMissing({ info, stored }: SharedBlob, from: number): number {
  let piece = from;
  while (piece < info.pieces && stored.have.has(piece)) piece++;
  return piece < info.pieces ? piece : from;
}

export interface ReaderHooks {
  /** So many bytes at the end of the blob wait for its digest: 64 KiB when the reader will have all of it, or the whole. */
  readonly heldBackBytes: number;
  /** The reader now waits for this piece. */
  waitsFor(piece: number): void;
  /** The reader has handed out these bytes, from `start` of the blob on, and then the disk did not take them. */
  unwritten?(start: number, bytes: Uint8Array): void;
}

/**
 * The bytes of a blob while the swarm fetches it: follows the verified prefix of the range, and takes the piece that it
 * waits for from memory while that is written. What its hooks hold back it gets only after the whole digest has matched.
 * @param from where the reader stands, when it has begun before
 * @throws what the blob failed with; ABORTED
 */
export async function* readShared(
  blob: SharedBlob,
  range: ByteRange,
  hooks: ReaderHooks,
  pool: BufferPool,
  signal: AbortSignal,
  from = range.start,
): AsyncGenerator<Uint8Array> {
  const { info, stored } = blob;
  const memory = new ChunkMemory(pool, range);
  let at = from;
  try {
    while (at < range.end) {
      const limit =
        hooks.heldBackBytes === 0 || blob.verified ? range.end : Math.max(0, info.size - hooks.heldBackBytes);
      const piece = pieceAt(info, at);
      const readable = stored.have.has(piece) ? Math.min(limit, (piece + 1) * info.pieceBytes) : at;
      if (readable > at) {
        const chunk = memory.at(at).subarray(0, readable - at);
        await stored.read(at, chunk).catch((error: unknown) => {
          // What went wrong with the blob says more than that its pieces are gone.
          throw blob.failure ?? error;
        });
        at += chunk.length;
        yield chunk;
        continue;
      }
      if (blob.failure !== undefined) throw blob.failure;
      const landing = blob.landing(piece);
      const start = pieceOffset(info, piece);
      const end = Math.min(limit, start + (landing?.piece.bytes.length ?? 0));
      const kept = end > at ? landing?.piece.share() : undefined;
      if (landing !== undefined && kept !== undefined) {
        try {
          yield kept.bytes.subarray(at - start, end - start);
          at = end;
          if (at < range.end) hooks.waitsFor(pieceAt(info, at));
          await withAbort(landing.written, signal).catch((error: unknown) => {
            if (!signal.aborted) {
              hooks.unwritten?.(start, Uint8Array.from(kept.bytes.subarray(0, at - start)));
            }
            throw error;
          });
        } finally {
          kept.release();
        }
        continue;
      }
      const change = blob.nextChange(signal);
      hooks.waitsFor(firstMissing(blob, piece));
      await change;
    }
  } finally {
    memory.release();
  }
}
