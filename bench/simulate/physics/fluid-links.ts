import type { TimingWheel } from './wheel.ts';

/** Bytes as a fluid on the links of ends, whatever the rule by which flows share them. */
export interface FluidLinks {
  /** Flow -> ends. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** Flows into that end. */
  into(end: number): readonly number[];
  /** Flows out of that end. */
  outOf(end: number): readonly number[];
  /** A flow number, not running yet. */
  open(from: number, to: number, bytes: number): number;
  start(flow: number): void;
  /** For an event of its kind on the wheel. @returns whether the flow has come to its end, and was stopped */
  ended(flow: number, version: number): boolean;
  /** Takes a running flow out; its number stays valid until {@link release}. */
  stop(flow: number): void;
  release(flow: number): void;
}

/** What all flows out of a zone share, and all flows into it. */
export interface ZoneLinks {
  /** End -> its zone; -1 = its flows cross no border. */
  readonly of: Int32Array;
  /** Bytes per millisecond of each zone, both ways. */
  readonly rate: number;
}

/**
 * The rule by which flows share links: rates in bytes per millisecond of each end, both ways; the kind of the events set
 * on the wheel (a = flow, b = version); and what zones let through, if there is a limit.
 */
export type Physics = (
  rates: Float64Array,
  wheel: TimingWheel,
  kind: number,
  zones: ZoneLinks | undefined,
) => FluidLinks;
