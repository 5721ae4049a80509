import { describeError } from '../core/errors.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { HeldPieces } from './held-pieces.ts';
import type { KeyValue, KeyValueOperation } from './key-value/key-value.ts';
import { type BlobRecord, blobKey, encodeBlobRecord, keysOf, pieceKey } from './record.ts';
import { createSerial } from './serial.ts';

/** What need not be recorded at once waits so long for company. */
const FLUSH_AFTER_MS = 250;

/** What is synced is the batch and all before it; level skips an empty batch, sync and all. */
const NOTHING: KeyValueOperation = { type: 'del', key: 'nothing' };

/** A blob whose records may be written at any moment. */
export interface Recordable extends BlobRecord {
  /** In memory while they are in use or not recorded. */
  readonly pieces: HeldPieces | undefined;
}

const RECORDED = Promise.resolve();

interface How {
  readonly sync?: boolean;
  /** Records the blob as complete. */
  readonly complete?: boolean;
  /** New marks alone. */
  readonly marks?: boolean;
}

/** Writes the records of all blobs, one batch at a time, several changes in one. */
export interface RecordWriter {
  /** The blob changed: records it when others do, or soon. */
  changed(blob: Recordable): void;
  /**
   * Records the blob's new marks with the next batch, which is not far: afterwards they outlive the process. Never
   * rejects: what cannot be recorded is tried again later.
   */
  record(blob: Recordable): Promise<void>;
  /** Records every change until now; `sync`: on stable storage. @throws what the key-value store throws */
  flush(options?: { readonly sync: boolean }): Promise<void>;
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
  const inTurn = createSerial();
  /** Batches under way or waiting. */
  let batches = 0;
  const serial = <T>(job: () => Promise<T>): Promise<T> => {
    batches++;
    return inTurn(job).finally(() => batches--);
  };
  const dirty = new Set<Recordable>();
  /** Those with a mark to record, which waits for nobody. */
  const urgent = new Set<Recordable>();
  /** The flags that were last recorded: as long as they hold, a mark needs no new head. */
  const recorded = new WeakMap<Recordable, number>();
  let cancelTimer: (() => void) | undefined;
  let next: Promise<void> | undefined;
  let failing = false;
  let closed = false;

  const write = async (blobs: readonly Recordable[], how: How) => {
    const operations: KeyValueOperation[] = how.sync === true ? [NOTHING] : [];
    const taken = blobs.map((blob) => ({ blob, chunks: blob.pieces?.takeDirty(how.marks) ?? [] }));
    const heads: [blob: Recordable, flags: number][] = [];
    for (const { blob, chunks } of taken) {
      const { digest } = blob.info;
      urgent.delete(blob);
      if (how.marks !== true) dirty.delete(blob);
      if (chunks.length === 0 && isNothing(blob) && how.complete !== true) continue;
      if (how.marks !== true || recorded.get(blob) !== flagsOf(blob)) {
        heads.push([blob, flagsOf(blob)]);
        const record = how.complete === true ? { ...headOf(blob), complete: true } : blob;
        operations.push({ type: 'put', key: blobKey(digest), value: encodeBlobRecord(record) });
      }
      for (const chunk of chunks) {
        const value = blob.pieces?.encode(chunk);
        if (value !== undefined) operations.push({ type: 'put', key: pieceKey(digest, chunk), value });
      }
    }
    try {
      if (operations.length > 0) await keyValue.batch(operations, { sync: how.sync === true });
    } catch (error) {
      for (const { blob, chunks } of taken) {
        blob.pieces?.giveBack(chunks);
        dirty.add(blob);
        // A piece may wait for its mark, in the batch behind this one.
        urgent.add(blob);
      }
      // Whoever is told may never come back.
      flushLater();
      throw error;
    }
    for (const [blob, flags] of heads) recorded.set(blob, flags);
  };

  const flush = (sync: boolean): Promise<void> => {
    cancelTimer?.();
    cancelTimer = undefined;
    return serial(() => write([...dirty], { sync }));
  };

  const flushOrLater = async (how: How): Promise<void> => {
    try {
      await write([...(how.marks === true ? urgent : dirty)], how);
      failing = false;
    } catch (error) {
      // Pieces stay usable; they are only fetched again if the process ends before a later try succeeds.
      if (!failing) log.warn({ error: describeError(error) }, 'the store cannot record its pieces');
      failing = true;
    }
  };

  const flushLater = (): void => {
    if (closed) return;
    cancelTimer ??= clock.after(FLUSH_AFTER_MS, () => {
      cancelTimer = undefined;
      void serial(() => flushOrLater({}));
    });
  };

  return {
    flush: (options) => flush(options?.sync === true),
    changed(blob) {
      dirty.add(blob);
      flushLater();
    },
    record(blob) {
      dirty.add(blob);
      flushLater();
      // Whatever was marked before is in a batch that has ended.
      const isRecorded = blob.pieces?.newMarks !== true && batches === 0;
      if (failing || isRecorded) return RECORDED;
      urgent.add(blob);
      // Joins the batch that waits for the one under way.
      next ??= serial(() => {
        next = undefined;
        return flushOrLater({ marks: true });
      });
      return next;
    },
    complete: (blob) => serial(() => write([blob], { sync: true, complete: true })),
    drop: (blob) =>
      serial(async () => {
        const operations = keysOf(blob.info).map((key) => ({ type: 'del', key }) as const);
        await keyValue.batch(operations, { sync: true });
        dirty.delete(blob);
        urgent.delete(blob);
        recorded.delete(blob);
      }),
    close() {
      closed = true;
      return flush(true);
    },
  };
}

/** Nothing that a later start could use. */
function isNothing({ complete, pieces, heldBytes }: Recordable): boolean {
  return !complete && heldBytes === 0 && (pieces?.marked.count ?? 0) === 0;
}

function flagsOf({ complete, synced }: Recordable): number {
  return (complete ? 1 : 0) | (synced ? 2 : 0);
}

function headOf({ boot, complete, heldBytes, info, pinned, synced, usedAtMs }: Recordable): BlobRecord {
  return { boot, complete, heldBytes, info, pinned, synced, usedAtMs };
}
