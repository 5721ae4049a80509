/** Bytes as a fluid on the links of ends, whatever the rule by which flows share them. */
export interface FluidLinks {
  /** Flow -> ends. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** Flows into that end. */
  into(end: number): readonly number[];
  /** A flow number, not running yet. */
  open(from: number, to: number, bytes: number): number;
  start(flow: number): void;
  /** For an event of its kind on the wheel. @returns whether the flow has come to its end, and was stopped */
  ended(flow: number, version: number): boolean;
  /** Takes a running flow out; its number stays valid until {@link release}. */
  stop(flow: number): void;
  release(flow: number): void;
}
