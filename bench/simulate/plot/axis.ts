/** An axis of times in seconds. */
export interface TimeAxis {
  readonly log: boolean;
  readonly from: number;
  readonly to: number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
  /** Where on the axis: 0 = its start, 1 = its end. */
  at(seconds: number): number;
}

/** Above this ratio of largest to smallest the axis is logarithmic. */
const LOG_ABOVE = 10;
/** A linear axis starts at 0 unless everything lies in the upper part beyond this. */
const ZOOM_ABOVE = 0.6;
const MAX_TICKS = 9;
/** A logarithmic axis has no place for less, in seconds. */
const LEAST_LOG = 0.0001;
/** Decades up to which there is room for ticks at 1, 2 and 5. */
const MANY_DECADES = 4;

/** @param smallest of all times to be shown, in seconds, with `largest` */
export function timeAxis(smallest: number, largest: number): TimeAxis {
  return largest > LOG_ABOVE * smallest
    ? logAxis(Math.max(smallest, LEAST_LOG), Math.max(largest, 2 * LEAST_LOG))
    : linearAxis(smallest, largest);
}

export function linearAxis(smallest: number, largest: number): TimeAxis {
  const zoomed = smallest > ZOOM_ABOVE * largest;
  const span = Math.max(zoomed ? largest - smallest : largest, largest * 0.02, LEAST_LOG);
  const step = roundStep((span * 1.35) / MAX_TICKS);
  const from = zoomed ? Math.floor((smallest - span * 0.15) / step) : 0;
  const to = Math.ceil((largest + span * (zoomed ? 0.15 : 0.03)) / step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return {
    log: false,
    from: from * step,
    to: to * step,
    ticks: Array.from({ length: to - from + 1 }, (_, i) => {
      const value = (from + i) * step;
      return { value, label: value.toFixed(digits) };
    }),
    at: (seconds) => (seconds - from * step) / ((to - from) * step),
  };
}

function logAxis(smallest: number, largest: number): TimeAxis {
  const decades = Math.log10(largest / smallest);
  const mantissas = decades > MANY_DECADES ? [1] : [1, 2, 5];
  const values: number[] = [];
  for (let power = Math.floor(Math.log10(smallest)) - 1; power <= Math.ceil(Math.log10(largest)); power++) {
    values.push(...mantissas.map((mantissa) => Number(`${mantissa}e${power}`)));
  }
  // Some air on both sides of what is shown.
  const from = values.findLast((value) => value <= smallest / 1.05) ?? smallest;
  const to = values.find((value) => value >= largest * 1.05) ?? largest;
  return {
    log: true,
    from,
    to,
    ticks: values
      .filter((value) => value >= from && value <= to)
      .map((value) => ({ value, label: value.toLocaleString('en-US', { maximumFractionDigits: 6 }) })),
    at: (seconds) => Math.log(Math.max(seconds, from) / from) / Math.log(to / from),
  };
}

/** The least of 1, 2, 5, 10, 20 … that is not below. */
function roundStep(least: number): number {
  const power = Math.floor(Math.log10(least));
  const mantissa = [1, 2, 5, 10].find((each) => Number(`${each}e${power}`) >= least) ?? 10;
  return Number(`${mantissa}e${power}`);
}
