/** Time as a dependency: milliseconds, monotonic. The system clock and a clock that only moves when a test says so. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Calls once after `delayMs`; the returned function cancels. A pending timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Resolves after `delayMs`, rejects with the signal's reason when aborted first. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason as Error);
    };
    const cancel = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Calls again and again, `periodMs` after the last call returned, until cancelled. */
export function every(clock: Clock, periodMs: number, callback: () => void): () => void {
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.after(periodMs, () => {
      arm();
      callback();
    });
  };
  arm();
  return () => cancel();
}
