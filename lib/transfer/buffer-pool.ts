import { abortedError, DamselflyError } from '../core/errors.ts';

/** Memory for one piece on its way through the process. */
export interface PieceBuffer {
  /** Exactly as long as asked for; what it holds at first is undefined. */
  readonly bytes: Uint8Array;
  /** Gives the memory back; do not touch `bytes` afterwards. A second call is harmless. */
  release(): void;
  /**
   * The same memory for one more holder, which need not give it back soon: it is free when all holders have released
   * it. Undefined when half of the budget is in such hands: what arrives must always find room.
   */
  share(): PieceBuffer | undefined;
}

/** Piece buffers under one byte budget: the memory bound of all transfers of a process. */
export interface BufferPool {
  /**
   * Waits, first come first served, while the budget is used up.
   * @throws ABORTED; INTERNAL for more bytes than the budget or a piece can have
   */
  acquire(bytes: number, signal: AbortSignal): Promise<PieceBuffer>;
  /** Undefined when the budget is used up or others wait. @throws INTERNAL as for acquire */
  tryAcquire(bytes: number): PieceBuffer | undefined;
  /**
   * Memory to send from, at once: `bytes` long, or as much of it as can be {@link PieceBuffer.share shared} out; in the
   * end 64 KiB outside of the budget, so that thousands of slow receivers neither wait for each other nor hold much.
   * @param options.reads to a receiver that has proved to take what it is sent: another quarter of the budget is for those
   */
  lend(bytes: number, options?: { readonly reads: boolean }): PieceBuffer;
  /**
   * Another budget from now on: what is handed out beyond a smaller one is not replaced as it comes back. It is never
   * below what the largest piece needs.
   */
  resize(budgetBytes: number): void;
  /** Gives kept memory back to the system that nobody has asked for since the last call. @returns how many buffers */
  trim(): number;
  /** Bytes handed out now, rounded up to the sizes in which memory is kept. */
  readonly usedBytes: number;
  readonly waiting: number;
}

const MIN_CLASS_BYTES = 64 * 1024;
const MAX_CLASS_BYTES = 16 * 1024 * 1024;

const LEAST_LENT_BYTES = 64 * 1024;
/** Parts of the budget that may be in the hands of holders which need not give it back soon, and up to which those may add that read. */
const SHARED_PART = 1 / 2;
const SHARED_WITH_READERS_PART = 3 / 4;

interface Shareable extends PieceBuffer {
  /** @param part of the budget that may be shared out then. @default a half */
  share(part?: number): PieceBuffer | undefined;
}

/** Memory of one size that is handed out next. */
interface Idle {
  readonly buffers: Uint8Array[];
  /** The fewest that there were since they were last trimmed. */
  fewest: number;
}

interface Waiter {
  readonly bytes: number;
  grant(buffer: PieceBuffer): void;
}

/** Buffers come in powers of two from 64 KiB to 16 MiB and are reused; used and kept ones together stay in budget. */
export function createBufferPool(options: { readonly budgetBytes: number }): BufferPool {
  let { budgetBytes } = options;
  const idle = new Map<number, Idle>();
  const waiters = new Set<Waiter>();
  let usedBytes = 0;
  let idleBytes = 0;
  let sharedBytes = 0;

  /** Gives kept memory back to the system, as much as must be for so many bytes more. */
  const forgetIdle = (moreBytes: number): void => {
    for (const [size, kept] of idle) {
      while (usedBytes + idleBytes + moreBytes > budgetBytes && pop(kept) !== undefined) {
        idleBytes -= size;
      }
    }
  };

  const pop = (kept: Idle | undefined): Uint8Array | undefined => {
    const memory = kept?.buffers.pop();
    if (kept !== undefined) kept.fewest = Math.min(kept.fewest, kept.buffers.length);
    return memory;
  };

  const take = (classBytes: number): Uint8Array | undefined => {
    const kept = pop(idle.get(classBytes));
    if (kept !== undefined) {
      idleBytes -= classBytes;
      return kept;
    }
    if (usedBytes + classBytes > budgetBytes) return undefined;
    forgetIdle(classBytes);
    return unfilled(classBytes);
  };

  const give = (bytes: number): Shareable | undefined => {
    const classBytes = classOf(bytes);
    const memory = take(classBytes);
    if (memory === undefined) return undefined;
    usedBytes += classBytes;
    return holder(memory, bytes, () => {
      usedBytes -= classBytes;
      // The budget may have become smaller.
      if (usedBytes + idleBytes + classBytes > budgetBytes) {
        serveWaiters();
        return;
      }
      idleBytes += classBytes;
      const kept = idle.get(classBytes);
      if (kept === undefined) idle.set(classBytes, { buffers: [memory], fewest: 0 });
      else kept.buffers.push(memory);
      serveWaiters();
    });
  };

  /** The first holder of memory; `free` is called when the last one has released it. */
  const holder = (memory: Uint8Array, bytes: number, free: () => void): Shareable => {
    let holders = 0;
    const hold = (onRelease: () => void): Shareable => {
      let released = false;
      holders++;
      return {
        bytes: memory.subarray(0, bytes),
        release() {
          if (released) return;
          released = true;
          onRelease();
          if (--holders === 0) free();
        },
        share(part = SHARED_PART) {
          if (released || sharedBytes + memory.length > budgetBytes * part) return undefined;
          sharedBytes += memory.length;
          return hold(() => {
            sharedBytes -= memory.length;
          });
        },
      };
    };
    return hold(() => {});
  };

  const serveWaiters = (): void => {
    for (const waiter of waiters) {
      const buffer = give(waiter.bytes);
      if (buffer === undefined) return;
      waiters.delete(waiter);
      waiter.grant(buffer);
    }
  };

  const check = (bytes: number): void => {
    if (bytes < 1 || bytes > MAX_CLASS_BYTES || classOf(bytes) > budgetBytes) {
      throw new DamselflyError(
        'INTERNAL',
        `no piece buffer of ${bytes} bytes fits in the budget of ${budgetBytes}`,
      );
    }
  };

  const tryAcquire = (bytes: number): Shareable | undefined => {
    check(bytes);
    return waiters.size > 0 ? undefined : give(bytes);
  };

  const lend = (bytes: number, { reads } = { reads: false }): PieceBuffer => {
    const part = reads ? SHARED_WITH_READERS_PART : SHARED_PART;
    for (let length = bytes; length >= LEAST_LENT_BYTES; length = Math.floor(length / 2)) {
      const whole = classOf(length) <= budgetBytes ? tryAcquire(length) : undefined;
      const lent = whole?.share(part);
      whole?.release();
      if (lent !== undefined) return lent;
    }
    return {
      bytes: unfilled(Math.min(bytes, LEAST_LENT_BYTES)),
      release: () => {},
      share: () => undefined,
    };
  };

  return {
    tryAcquire,
    lend,
    async acquire(bytes, signal) {
      if (signal.aborted) throw abortedError(signal);
      const buffer = tryAcquire(bytes);
      if (buffer !== undefined) return buffer;
      return new Promise((resolve, reject) => {
        const onAbort = (): void => {
          waiters.delete(waiter);
          reject(abortedError(signal));
          // The next one may want less than the one that left.
          serveWaiters();
        };
        const waiter: Waiter = {
          bytes,
          grant(granted) {
            signal.removeEventListener('abort', onAbort);
            resolve(granted);
          },
        };
        waiters.add(waiter);
        signal.addEventListener('abort', onAbort, { once: true });
      });
    },
    resize(bytes) {
      budgetBytes = Math.max(bytes, MAX_CLASS_BYTES);
      forgetIdle(0);
      serveWaiters();
    },
    trim() {
      let trimmed = 0;
      for (const [size, kept] of idle) {
        const unneeded = kept.buffers.splice(0, kept.fewest);
        // At once: a process with nothing to do may not collect its garbage for minutes.
        for (const { buffer } of unneeded) (buffer as ArrayBuffer).transfer(0);
        kept.fewest = kept.buffers.length;
        idleBytes -= unneeded.length * size;
        trimmed += unneeded.length;
      }
      return trimmed;
    },
    get usedBytes() {
      return usedBytes;
    },
    get waiting() {
      return waiters.size;
    },
  };
}

/** Not a Buffer: each network read takes a part of it, and only the `subarray` of plain arrays is the engine's own. */
function unfilled(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}

function classOf(bytes: number): number {
  let size = MIN_CLASS_BYTES;
  while (size < bytes) size *= 2;
  return size;
}

/** Memory that no pool counts, for a few small pieces that came otherwise. */
export function unpooled(bytes: Uint8Array): PieceBuffer {
  const buffer: PieceBuffer = { bytes, release: () => {}, share: () => buffer };
  return buffer;
}
