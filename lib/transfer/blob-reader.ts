import type { BlobRequest } from '../core/blob-source.ts';
import { pieceAt } from '../core/geometry.ts';
import type { ByteRange } from '../core/range.ts';
import type { StoredBlob } from '../store/store.ts';
import { HOLD_BACK_BYTES } from './direct-read.ts';
import type { SharedBlob } from './shared-blob.ts';

/** One read from the store and one write to the client: large, because the cost is per chunk. */
const CHUNK_BYTES = 1024 * 1024;

export function wantedRange(request: BlobRequest): ByteRange {
  return request.range ?? { start: 0, end: request.size };
}

/** Whether the reader will have the whole blob once it has the range. */
export function endsWhole(request: BlobRequest): boolean {
  const { start, end } = wantedRange(request);
  return end === request.size && (start === 0 || request.rangeIs === 'rest');
}

/** Of a crowd of readers each gets less, so that all together stay within a few times this. */
const READERS_BYTES = 64 * CHUNK_BYTES;
const MIN_CHUNK_BYTES = 64 * 1024;

/** Length of the chunks of a reader who is one of `readers`. */
export function chunkBytesFor(readers: number): number {
  return Math.min(CHUNK_BYTES, Math.max(MIN_CHUNK_BYTES, Math.floor(READERS_BYTES / readers)));
}

/** One buffer for all chunks of a reader: fresh memory for each would cost more than the copy. */
function chunkBuffer(range: ByteRange, chunkBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(Math.min(chunkBytes, range.end - range.start));
}

/** The bytes of a blob that is complete in the store. */
export async function* readStored(
  stored: StoredBlob,
  range: ByteRange,
  chunkBytes: number,
): AsyncGenerator<Uint8Array> {
  const buffer = chunkBuffer(range, chunkBytes);
  for (let at = range.start; at < range.end; ) {
    const chunk = buffer.subarray(0, Math.min(buffer.length, range.end - at));
    await stored.read(at, chunk);
    at += chunk.length;
    yield chunk;
  }
}

export interface ReaderHooks {
  readonly chunkBytes: number;
  /** The reader will have the whole blob: its last bytes wait for the digest. */
  readonly holdsBack: boolean;
  /** The reader now waits for this piece. */
  waitsFor(piece: number): void;
}

/**
 * The bytes of a blob while the swarm fetches it: follows the verified prefix of the range. A reader of the whole blob
 * gets its last 64 KiB only after the whole digest has matched.
 * @throws what the blob failed with; ABORTED
 */
export async function* readShared(
  blob: SharedBlob,
  range: ByteRange,
  hooks: ReaderHooks,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { info, stored } = blob;
  const whole = hooks.holdsBack;
  const buffer = chunkBuffer(range, hooks.chunkBytes);
  let at = range.start;
  while (at < range.end) {
    const limit = whole && !stored.complete ? Math.max(0, info.size - HOLD_BACK_BYTES) : range.end;
    const piece = pieceAt(info, at);
    const readable = stored.have.has(piece) ? Math.min(limit, (piece + 1) * info.pieceBytes) : at;
    if (readable > at) {
      const chunk = buffer.subarray(0, Math.min(buffer.length, readable - at));
      await stored.read(at, chunk);
      at += chunk.length;
      yield chunk;
      continue;
    }
    if (blob.failure !== undefined) throw blob.failure;
    const change = blob.nextChange(signal);
    hooks.waitsFor(piece);
    await change;
  }
}
