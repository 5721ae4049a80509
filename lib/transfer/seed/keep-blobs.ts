import { type Digest, isFileKey } from '../../core/digest.ts';
import { abortedError, describeError } from '../../core/errors.ts';
import { type BlobInfo, pieceOffset } from '../../core/geometry.ts';
import { bytesKey, encodeIndex, indexKey, type KeptIndex } from '../../objects/kept-index.ts';
import {
  MIN_PART_BYTES,
  MOST_PARTS,
  type ObjectStore,
  type PartsUpload,
} from '../../objects/object-store.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { BlobStore, StoredBlob } from '../../store/store.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { KeptReads } from './kept-reads.ts';

/** Parts of about this size go out while the blob still arrives. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts that are in memory at once. */
const MOST_AT_ONCE = 2;
/** One part may take so long on a slow line; then the upload fails. */
const PART_MS = 120_000;
/** Another owner sends the blob: looked after when it must have done so. */
const OTHERS_MS = 60_000;
const RETRIES = 3;
const RETRY_MS = 10_000;

export interface KeepBlobsDeps {
  readonly objects: ObjectStore;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A blob on its way to the object store. */
interface Sending {
  readonly info: BlobInfo;
  /** The whole digest has matched. */
  complete: boolean;
  readonly ending: AbortController;
  /** Something new is there. */
  wake: () => void;
}

/**
 * Copies blobs into the object store: in parts while they arrive, made whole there only when their digest has matched
 * here. What is there already is not sent again.
 */
export class KeepBlobs {
  readonly #deps: KeepBlobsDeps;
  readonly #reads: KeptReads;
  readonly #sending = new Map<Digest, Sending>();
  readonly #running = new Set<Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #closed = false;

  constructor(deps: KeepBlobsDeps, reads: KeptReads) {
    this.#deps = deps;
    this.#reads = reads;
  }

  /** A piece is on disk. @param first whether the blob is this supernode's to send: one of its owners does */
  landed(blob: SharedBlob, first: boolean): void {
    const sending = this.#sending.get(blob.digest);
    if (sending !== undefined) sending.wake();
    else if (first) this.#begin(blob.info, false, 0);
  }

  /** The whole digest has matched, now or long ago. */
  complete(info: BlobInfo, first: boolean): void {
    const sending = this.#sending.get(info.digest);
    if (sending === undefined) this.#begin(info, true, first ? 0 : OTHERS_MS);
    else {
      sending.complete = true;
      sending.wake();
    }
  }

  /** What was here was wrong: so is what was sent of it. */
  wrong(blob: SharedBlob): void {
    this.#sending.get(blob.digest)?.ending.abort();
  }

  /** Nobody shares the blob here any more: what is missing of it will not come. */
  retired(blob: SharedBlob): void {
    if (!blob.stored.complete) this.#sending.get(blob.digest)?.ending.abort();
  }

  /** Ends what is under way; parts that were sent are forgotten. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { ending } of this.#sending.values()) ending.abort();
    for (const go of this.#waiting.splice(0)) go();
    await Promise.allSettled(this.#running);
  }

  #begin(info: BlobInfo, complete: boolean, afterMs: number): void {
    // What is at a URL may be another tomorrow, and its key does not say whether it is right.
    if (this.#closed || isFileKey(info.digest)) return;
    const sending: Sending = { info, complete, ending: new AbortController(), wake: () => {} };
    sending.ending.signal.addEventListener('abort', () => sending.wake(), { once: true });
    this.#sending.set(info.digest, sending);
    const run = this.#send(sending, afterMs)
      .catch((error: unknown) => {
        if (sending.ending.signal.aborted) return;
        const { log, metrics } = this.#deps;
        metrics.objectStore.inc({ kind: 'keep', outcome: 'failed' });
        log.warn({ digest: info.digest, error: describeError(error) }, 'a blob is not in the object store');
      })
      .finally(() => {
        this.#sending.delete(info.digest);
        this.#running.delete(run);
      });
    this.#running.add(run);
  }

  async #send(sending: Sending, afterMs: number): Promise<void> {
    const { clock, log } = this.#deps;
    const { digest } = sending.info;
    const { signal } = sending.ending;
    await delay(clock, afterMs, signal);
    for (let attempt = 0; ; attempt++) {
      await this.#reads.cleared(digest, signal);
      if ((await this.#reads.index(digest, signal)) !== undefined) return;
      try {
        await this.#copy(sending, signal);
        return;
      } catch (error) {
        if (signal.aborted || attempt >= RETRIES) throw error;
        log.info({ digest, error: describeError(error) }, 'a blob is sent to the object store once more');
      }
      await delay(clock, RETRY_MS * 2 ** attempt, signal);
    }
  }

  async #copy(sending: Sending, signal: AbortSignal): Promise<void> {
    const { log, metrics, objects, store } = this.#deps;
    const { info } = sending;
    const { digest } = info;
    const stored = await store.open(digest);
    if (stored === undefined) return;
    const key = bytesKey(digest);
    const partPieces = piecesOfPart(info);
    const small = info.pieces <= partPieces;
    let upload: PartsUpload | undefined;
    try {
      if (small) await this.#untilComplete(sending, signal);
      else upload = await this.#limited(signal, (signal) => objects.begin(key, { signal }));
      for (let first = 0, number = 1; first === 0 || first < info.pieces; first += partPieces, number++) {
        const end = Math.min(info.pieces, first + partPieces);
        await this.#held(sending, stored, first, end, signal);
        await this.#inTurn(signal, async (signal) => {
          const from = pieceOffset(info, first);
          const bytes = new Uint8Array(Math.min(info.size, pieceOffset(info, end)) - from);
          await stored.read(from, bytes);
          if (upload === undefined) await objects.put(key, bytes, { signal });
          else await upload.part(number, bytes, { signal });
          metrics.sentBytes.inc({ to: 'object-store' }, bytes.length);
        });
      }
      await this.#untilComplete(sending, signal);
      const hashes = Array.from({ length: info.pieces }, (_, piece) => stored.proof(piece)!.hash.slice());
      const index: KeptIndex = { info, hash: (piece) => hashes[piece]! };
      const made = upload;
      if (made !== undefined) await this.#limited(signal, (signal) => made.complete({ signal }));
      upload = undefined;
      // Last: a blob counts as kept when its index is there.
      await this.#limited(signal, (signal) => objects.put(indexKey(digest), encodeIndex(index), { signal }));
      this.#reads.keeps(digest, index);
      metrics.objectStore.inc({ kind: 'keep', outcome: 'ok' });
      log.info({ digest, size: info.size }, 'a blob is in the object store');
    } finally {
      await stored.close();
      const begun = upload;
      if (begun !== undefined) {
        const { signal } = new AbortController();
        await this.#limited(signal, (signal) => begun.abort({ signal })).catch(() => {});
      }
    }
  }

  /** No more at once than there is memory for. */
  async #inTurn(signal: AbortSignal, act: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (this.#busy >= MOST_AT_ONCE && !signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (signal.aborted) {
      // The turn that it may have been given is the next one's.
      this.#waiting.shift()?.();
      throw abortedError(signal);
    }
    this.#busy++;
    try {
      await this.#limited(signal, act);
    } finally {
      this.#busy--;
      this.#waiting.shift()?.();
    }
  }

  /** Waits until these pieces are here. */
  async #held(
    sending: Sending,
    stored: StoredBlob,
    first: number,
    end: number,
    signal: AbortSignal,
  ): Promise<void> {
    for (let piece = first; piece < end; ) {
      if (stored.have.has(piece)) piece++;
      else await this.#news(sending, signal);
    }
  }

  async #untilComplete(sending: Sending, signal: AbortSignal): Promise<void> {
    while (!sending.complete) await this.#news(sending, signal);
  }

  async #news(sending: Sending, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortedError(signal);
    await new Promise<void>((resolve) => {
      sending.wake = resolve;
    });
    if (signal.aborted) throw abortedError(signal);
  }

  #limited<T>(signal: AbortSignal, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(this.#deps.clock, PART_MS, signal, act);
  }
}

/** Pieces of one part: as many as S3 wants at least, and more where the blob would have too many parts. */
function piecesOfPart({ pieceBytes, size }: BlobInfo): number {
  const bytes = Math.max(PART_BYTES, MIN_PART_BYTES, Math.ceil(size / MOST_PARTS));
  return Math.ceil(bytes / pieceBytes);
}
