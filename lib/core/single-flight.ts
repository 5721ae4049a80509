import { abortedError } from './errors.ts';

/**
 * Work that several callers want at the same time is done once. A caller that gives up leaves the work to the others;
 * so the work itself must end by its own time limits.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /**
   * The result of the work under way for `key`, started by this call when there is none.
   * @throws what the work throws; ABORTED when `signal` fires first
   */
  async run(key: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = work().finally(() => this.#flights.delete(key));
      this.#flights.set(key, flight);
    }
    return await withAbort(flight, signal);
  }
}

/** Waits for a promise, but no longer than until `signal` fires. @throws what the promise throws; ABORTED */
export async function withAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Whoever stopped waiting must not turn a later failure into an unhandled rejection.
  promise.catch(() => {});
  if (signal.aborted) throw abortedError(signal);
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = (): void => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    stop();
  }
}
