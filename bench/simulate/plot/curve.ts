import { coordinate } from './svg.ts';

/** Steps of a curve; each takes two points. */
const BODY_STEPS = 150;
/** Steps for the last hundredth of the nodes, which would else be one. */
const TAIL_STEPS = 40;
const TAIL_SHARE = 0.99;

/** At `seconds` so large a share (0 to 1) is done. */
export interface Step {
  readonly seconds: number;
  readonly share: number;
}

/** The share that is done over time, in a few steps, which never show a node as done before it is. */
export function completionSteps(sortedSeconds: Float64Array): Step[] {
  const count = sortedSeconds.length;
  const ranks = new Set<number>();
  const tail = Math.floor(count * TAIL_SHARE);
  for (let step = 1; step <= BODY_STEPS; step++) ranks.add(Math.ceil((tail * step) / BODY_STEPS));
  for (let step = 1; step <= TAIL_STEPS; step++) {
    ranks.add(tail + Math.ceil(((count - tail) * step) / TAIL_STEPS));
  }
  return [...ranks]
    .filter((rank) => rank > 0)
    .map((rank) => ({ seconds: sortedSeconds[rank - 1]!, share: rank / count }));
}

/** A straight piece of a curve on the drawing, horizontal or vertical. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface Curve {
  /** For the `d` of a path. */
  readonly path: string;
  readonly segments: readonly Box[];
}

/** Joins the steps to a curve that begins at 0 %. @param x seconds -> pixels @param y share -> pixels */
export function stepCurve(
  steps: readonly Step[],
  x: (seconds: number) => number,
  y: (share: number) => number,
): Curve {
  const segments: Box[] = [];
  let [atX, atY] = [x(steps[0]?.seconds ?? 0), y(0)];
  let path = `M${coordinate(atX)} ${coordinate(atY)}`;
  for (const { seconds, share } of steps) {
    const [toX, toY] = [x(seconds), y(share)];
    if (coordinate(toX) !== coordinate(atX)) {
      path += `H${coordinate(toX)}`;
      segments.push({ left: atX, right: toX, top: atY, bottom: atY });
    }
    if (coordinate(toY) !== coordinate(atY)) {
      path += `V${coordinate(toY)}`;
      segments.push({ left: toX, right: toX, top: toY, bottom: atY });
    }
    [atX, atY] = [toX, toY];
  }
  return { path, segments };
}

/** The candidate that covers the fewest of the obstacles, the first of equals. */
export function clearest<B extends Box>(candidates: readonly B[], obstacles: readonly Box[]): B | undefined {
  const covered = candidates.map((box) => obstacles.filter((obstacle) => overlap(box, obstacle)).length);
  return candidates[covered.indexOf(Math.min(...covered))];
}

function overlap(a: Box, b: Box): boolean {
  return a.left <= b.right && b.left <= a.right && a.top <= b.bottom && b.top <= a.bottom;
}
