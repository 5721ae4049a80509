/** What one run of a row found out: how often, how long or how much, and what it cost. */
export interface Figure {
  /** The row's name, or that with a suffix for its further figures (`serve-vs-nginx-cpu`). */
  readonly row: string;
  /** Median of the runs. */
  readonly value: number;
  /** `x` for a ratio to the baseline of the same run, else the unit. */
  readonly unit: string;
  /** What the value must reach, in the same unit. */
  readonly target: number;
  readonly better: 'higher' | 'lower';
  /** Each run's value, in the order in which they ran. */
  readonly runs: readonly number[];
  /** Per 10^9 bytes, from the operating system: ours, and the baseline's. */
  readonly cpuSecondsPerGB?: { readonly ours: number; readonly baseline?: number };
  /** Largest of the processes measured. */
  readonly peakRssBytes?: number;
  /** What a reader must know to read the figure, one sentence. */
  readonly note?: string;
}

export interface RowContext {
  readonly signal: AbortSignal;
  /** Interleaved pairs to measure. */
  readonly runs: number;
  /** One line of progress. */
  readonly say: (text: string) => void;
}

/** One row of the data plane table: a question about the real parts, and how to answer it. */
export interface Row {
  readonly name: string;
  /** What is measured against what, one sentence. */
  readonly about: string;
  /** Programs that it needs besides ours. */
  readonly needs?: readonly string[];
  measure(context: RowContext): Promise<readonly Figure[]>;
}

/** Whether the figure's value is good enough. */
export function reaches({ value, target, better }: Figure): boolean {
  return better === 'higher' ? value >= target : value <= target;
}

/** Middle one of the values, the mean of the middle two of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/**
 * Runs both sides in turn, so that both see the same machine; every other pair begins with the baseline.
 * @param warmUps runs of each side before those that count
 * @returns one pair for each run, none from the warm-up
 */
export async function inPairs<T>(
  { runs, signal, say }: RowContext,
  ours: () => Promise<T>,
  baseline: () => Promise<T>,
  warmUps = 1,
): Promise<readonly { readonly ours: T; readonly baseline: T }[]> {
  const pairs: { ours: T; baseline: T }[] = [];
  for (let run = 0; run < warmUps; run++) {
    await baseline();
    await ours();
  }
  for (let run = 0; run < runs; run++) {
    signal.throwIfAborted();
    say(`pair ${run + 1} of ${runs}`);
    if (run % 2 === 0) {
      const first = await ours();
      pairs.push({ ours: first, baseline: await baseline() });
    } else {
      const first = await baseline();
      pairs.push({ baseline: first, ours: await ours() });
    }
  }
  return pairs;
}
