import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Takes the time of each kind of event; several of one kind are taken together, because a clock costs some 40 ns. */
export class Meter {
  /** Off: only what the events do is left, for counting what they allocate. */
  timed = true;
  readonly #kinds: readonly string[];
  readonly #ms: Float64Array;
  readonly #counts: Float64Array;
  #startedMs = 0;

  constructor(kinds: readonly string[]) {
    this.#kinds = kinds;
    this.#ms = new Float64Array(kinds.length);
    this.#counts = new Float64Array(kinds.length);
  }

  begin(): void {
    if (this.timed) this.#startedMs = performance.now();
  }

  /** @param kind index into the kinds */
  end(kind: number, events: number): void {
    if (!this.timed) return;
    this.#ms[kind]! += performance.now() - this.#startedMs;
    this.#counts[kind]! += events;
  }

  reset(): void {
    this.#ms.fill(0);
    this.#counts.fill(0);
  }

  get totalMs(): number {
    return this.#ms.reduce((sum, ms) => sum + ms, 0);
  }

  /** Kind -> mean nanoseconds an event. */
  nanoseconds(): Record<string, number> {
    return Object.fromEntries(
      this.#kinds.map((kind, i) => [kind, Math.round((this.#ms[i]! / this.#counts[i]!) * 1e6)]),
    );
  }
}

/**
 * Times to give to events. V8 allocates whenever a fraction that it holds as a double is handed over; those in an array
 * with something else in it are objects already, so that what is counted is what the events allocate.
 */
export function clockTimes(fromMs: number, stepMs: number, count: number): readonly (number | undefined)[] {
  return [...Array.from({ length: count }, (_, i) => fromMs + i * stepMs), undefined];
}

/** What runs of the same work left on the heap. */
export interface Allocation {
  /** Median over the runs without a collection, after one that was forced before each. */
  readonly bytes: number;
  /** Garbage collections while any of them ran, the forced ones not counted. */
  readonly collections: number;
}

const RUNS = 9;

/** @param prepare what is not counted; gives the work that is */
export async function allocationOf(prepare: () => () => void): Promise<Allocation> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const startsMs: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) startsMs.push(startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  const collectionsBetween = async (fromMs: number, toMs: number): Promise<number> => {
    // The observer is called back only between turns of the event loop.
    await setImmediate();
    await setImmediate();
    return startsMs.filter((ms) => ms >= fromMs && ms <= toMs).length;
  };
  const run = async (work: () => void): Promise<{ bytes: number; collections: number }> => {
    collect();
    const fromMs = performance.now();
    const before = process.memoryUsage().heapUsed;
    work();
    const after = process.memoryUsage().heapUsed;
    const toMs = performance.now();
    return { bytes: after - before, collections: await collectionsBetween(fromMs, toMs) };
  };
  const idle: number[] = [];
  const bytes: number[] = [];
  let collections = 0;
  for (let i = 0; i < RUNS; i++) {
    idle.push((await run(() => {})).bytes);
    const one = await run(prepare());
    if (one.collections === 0) bytes.push(one.bytes);
    collections += one.collections;
  }
  observer.disconnect();
  return { bytes: median(bytes) - median(idle), collections };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
