import type { ChaosEvent } from './schedule.ts';

/** What one run came to: one line of `--json`. */
export interface ChaosResult {
  readonly fault: string;
  /** Of the code that was run: the commit, with a plus when something was changed since. */
  readonly commit: string;
  /** When, YYYY-MM-DD. */
  readonly date: string;
  readonly seed: number;
  /** Whether the processes had identities. */
  readonly secure: boolean;
  readonly nodes: number;
  readonly imageBytes: number;
  /** Pulls that had to succeed and did not. */
  readonly failedPulls: number;
  /** Of the slowest pull that counts. */
  readonly calmSeconds: number | null;
  readonly seconds: number;
  readonly makespanRatio: number | null;
  readonly registryRatio: number;
  readonly events: readonly ChaosEvent[];
  /** Everything that did not hold, each a sentence; empty: the run is good. */
  readonly broken: readonly string[];
}
