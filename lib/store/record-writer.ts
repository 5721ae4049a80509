import type { Digest } from '../core/digest.ts';
import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { KeyValue, KeyValueOperation } from './key-value/key-value.ts';
import { type BlobRecord, blobKey, encodeBlobRecord, pieceKey, piecePrefix } from './record.ts';
import { createSerial } from './serial.ts';

/** A record costs about as much for one piece as for sixteen, and a crash may lose what is not yet recorded. */
const FLUSH_PIECES = 16;
const FLUSH_AFTER_MS = 250;

/** What is synced is the batch and all before it; level skips an empty batch, sync and all. */
const NOTHING: KeyValueOperation = { type: 'del', key: 'nothing' };

/** A blob whose record may be written at any moment. */
export interface Recordable extends BlobRecord {
  /** Pieces held whose proof is not yet recorded; emptied by the writer. */
  readonly unrecorded: Set<number>;
  packedProof(index: number): Uint8Array;
}

/** Writes the records of all blobs, one batch at a time, several changes in one. */
export interface RecordWriter {
  /** The blob changed, by so many new pieces: records it soon. */
  changed(blob: Recordable, newPieces: number): void;
  /** Records every change until now. @throws what the key-value store throws */
  flush(): Promise<void>;
  /** Records that the blob is complete, with all its proofs; on stable storage afterwards. */
  complete(blob: Recordable): Promise<void>;
  /** Removes every record of the blob; on stable storage afterwards. */
  drop(blob: Recordable): Promise<void>;
  /** The last flush, to stable storage; nothing is written later. @throws what the key-value store throws */
  close(): Promise<void>;
}

export function createRecordWriter(deps: {
  readonly keyValue: KeyValue;
  readonly clock: Clock;
  readonly log: Logger;
}): RecordWriter {
  const { keyValue, clock, log } = deps;
  const serial = createSerial();
  const dirty = new Set<Recordable>();
  let changedPieces = 0;
  let cancelTimer: (() => void) | undefined;
  let failing = false;
  let closed = false;

  const write = async (blobs: readonly Recordable[], options: { sync: boolean; complete: boolean }) => {
    const operations: KeyValueOperation[] = options.sync ? [NOTHING] : [];
    const taken = blobs.map((blob) => ({ blob, pieces: [...blob.unrecorded] }));
    for (const { blob, pieces } of taken) {
      const { info, usedAtMs, have, synced } = blob;
      const complete = blob.complete || options.complete;
      dirty.delete(blob);
      if (!complete && have.count === 0) continue;
      const value = encodeBlobRecord({ info, usedAtMs, have, complete, synced });
      operations.push({ type: 'put', key: blobKey(info.digest), value });
      for (const index of pieces) {
        operations.push({ type: 'put', key: pieceKey(info.digest, index), value: blob.packedProof(index) });
      }
    }
    try {
      if (operations.length > 0) await keyValue.batch(operations, { sync: options.sync });
    } catch (error) {
      for (const blob of blobs) dirty.add(blob);
      throw error;
    }
    for (const { blob, pieces } of taken) for (const index of pieces) blob.unrecorded.delete(index);
  };

  const flush = (sync = false): Promise<void> => {
    cancelTimer?.();
    cancelTimer = undefined;
    changedPieces = 0;
    return serial(() => write([...dirty], { sync, complete: false }));
  };

  const flushInBackground = (): void => {
    flush().then(
      () => {
        failing = false;
      },
      (error: unknown) => {
        // Pieces stay usable; they are only fetched again if the process ends before a later try succeeds.
        if (!failing) log.warn({ error: describeError(error) }, 'the store cannot record its pieces');
        failing = true;
        if (!closed) cancelTimer ??= clock.after(FLUSH_AFTER_MS, flushInBackground);
      },
    );
  };

  return {
    flush: () => flush(),
    changed(blob, newPieces) {
      dirty.add(blob);
      changedPieces += newPieces;
      if (changedPieces >= FLUSH_PIECES) flushInBackground();
      else cancelTimer ??= clock.after(FLUSH_AFTER_MS, flushInBackground);
    },
    complete: (blob) => serial(() => write([blob], { sync: true, complete: true })),
    drop: (blob) =>
      serial(async () => {
        await keyValue.batch(await removalOf(keyValue, blob.info.digest), { sync: true });
        dirty.delete(blob);
        blob.unrecorded.clear();
      }),
    close() {
      closed = true;
      return flush(true);
    },
  };
}

/** The operations that remove every record of a blob. */
export async function removalOf(keyValue: KeyValue, digest: Digest): Promise<KeyValueOperation[]> {
  const operations: KeyValueOperation[] = [{ type: 'del', key: blobKey(digest) }];
  for await (const [key] of keyValue.entries(piecePrefix(digest))) operations.push({ type: 'del', key });
  return operations;
}
