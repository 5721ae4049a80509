import type { FakeClock } from '../../lib/runtime/fake-clock.ts';
import type { MemoryNetwork } from '../../lib/transfer/memory/memory-network.ts';

export const CONTROL_PORT = 8400;
/** The kernel looks for a silent end of a control connection after ten seconds, ten times. */
export const CONTROL_SILENCE_MS = 20_000;

/** What all processes of a run share. */
export interface SimSurroundings {
  readonly clock: FakeClock;
  /** Peers among themselves. */
  readonly network: MemoryNetwork;
  /** The same hosts, and their connections to trackers. */
  readonly control: MemoryNetwork;
  /** Of each host's connection to its peers. */
  readonly rates: { readonly upBytesPerSecond: number; readonly downBytesPerSecond: number };
  readonly wallClockMs: () => number;
  /** The same, as trackers tell it: capabilities end by it. */
  readonly clusterTimeMs: () => number;
  readonly rightsClock: { now(): number };
}
