import { colour, sized } from './elements.ts';
import { type Member, SOURCES, type State, type Swarm } from './state.ts';

const BAND = 46;
const GAP = 14;
const LARGEST_CELL = 56;
const SMALLEST_CELL = 4;
const ZONE_TEXT = 18;
/** Smaller cells show how far they are by their shade. */
const SHADED_CELL = 12;
const WIDEST_LINE = 4;
/** Room for the name beside a supernode. */
const NAME_WIDTH = 150;

interface Place {
  readonly x: number;
  readonly y: number;
}

/**
 * Draws a swarm: its supernodes in a row, below them the nodes of each zone as cells that fill up, and lines that are as
 * wide as the bytes that went along since the last refresh.
 */
export function drawSwarm(canvas: HTMLCanvasElement, { last, members }: State, swarm: Swarm): void {
  const sharers = [...swarm.have.keys()].flatMap((n) => members.get(n) ?? []);
  const supernodes = sharers.filter(({ role }) => role === 'supernode');
  const zones = byZone(sharers.filter(({ role }) => role === 'node'));
  const width = canvas.clientWidth;
  const { cell, height } = layout(zones, width);
  const context = sized(canvas, height);
  if (context === null) return;
  const places = new Map<number, Place>();
  const [ink, muted, rule] = [colour('ink'), colour('muted'), colour('rule')];
  const [empty, full] = [colour('empty'), colour('full')];

  supernodes.forEach(({ n }, at) => {
    places.set(n, { x: (width * (at + 0.5)) / supernodes.length, y: BAND / 2 });
  });
  let y = BAND + GAP;
  const boxes: { readonly member: Member; readonly x: number; readonly y: number }[] = [];
  for (const [zone, nodes] of zones) {
    context.fillStyle = muted;
    context.font = '12px system-ui, sans-serif';
    context.fillText(`${zone === '' ? 'default zone' : zone}: ${nodes.length} nodes`, 0, y + 12);
    const perRow = Math.max(1, Math.floor(width / cell));
    nodes.forEach((member, at) => {
      const x = (at % perRow) * cell;
      const top = y + ZONE_TEXT + Math.floor(at / perRow) * cell;
      boxes.push({ member, x, y: top });
      places.set(member.n, { x: x + cell / 2, y: top + cell / 2 });
    });
    y += ZONE_TEXT + Math.ceil(nodes.length / perRow) * cell + GAP;
  }

  const inset = cell > 8 ? 2 : 0.5;
  for (const { member, x, y: top } of boxes) {
    const { percent = 0, readers = 0 } = swarm.have.get(member.n) ?? {};
    const size = cell - 2 * inset;
    context.fillStyle = empty;
    context.fillRect(x + inset, top + inset, size, size);
    context.fillStyle = full;
    if (cell < SHADED_CELL) {
      context.globalAlpha = percent / 100;
      context.fillRect(x + inset, top + inset, size, size);
      context.globalAlpha = 1;
      continue;
    }
    const filled = (size * percent) / 100;
    context.fillRect(x + inset, top + inset + size - filled, size, filled);
    if (readers > 0) {
      context.strokeStyle = ink;
      context.lineWidth = 1;
      context.strokeRect(x + inset, top + inset, size, size);
    }
  }
  drawEdges(context, last?.edges ?? [], places, members, cell);
  for (const { id, n } of supernodes) {
    const place = places.get(n);
    if (place === undefined) continue;
    const { percent = 0 } = swarm.have.get(n) ?? {};
    context.beginPath();
    context.arc(place.x, place.y, 15, 0, 2 * Math.PI);
    context.fillStyle = empty;
    context.fill();
    context.beginPath();
    context.moveTo(place.x, place.y);
    context.arc(place.x, place.y, 15, -Math.PI / 2, -Math.PI / 2 + (2 * Math.PI * percent) / 100);
    context.fillStyle = colour('supernode');
    context.fill();
    context.strokeStyle = rule;
    context.stroke();
    context.fillStyle = ink;
    const name = width / supernodes.length > NAME_WIDTH ? `supernode ${id.slice(0, 8)}` : id.slice(0, 4);
    context.fillText(name, place.x + 20, place.y + 4);
  }
}

function drawEdges(
  context: CanvasRenderingContext2D,
  edges: readonly (readonly [number, number, number])[],
  places: ReadonlyMap<number, Place>,
  members: ReadonlyMap<number, Member>,
  cell: number,
): void {
  // Where there are many, lines must not hide the cells.
  const line = Math.min(WIDEST_LINE, cell / SHADED_CELL);
  const widest = Math.max(1, ...edges.map(([, , bytes]) => bytes));
  const [fromNodes, fromSupernodes] = [colour('peer'), colour('supernode')];
  for (const [from, to, bytes] of edges) {
    const [a, b] = [places.get(from), places.get(to)];
    if (a === undefined || b === undefined) continue;
    context.strokeStyle = members.get(from)?.role === 'supernode' ? fromSupernodes : fromNodes;
    context.globalAlpha = (0.25 + (0.5 * bytes) / widest) * Math.min(1, line);
    context.lineWidth = line * (0.15 + (0.85 * bytes) / widest);
    context.beginPath();
    context.moveTo(a.x, a.y);
    // Bent, so that two directions and rows of cells can be told apart.
    context.quadraticCurveTo((a.x + b.x) / 2 + (b.y - a.y) / 6, (a.y + b.y) / 2 - (b.x - a.x) / 6, b.x, b.y);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function byZone(nodes: readonly Member[]): [string, Member[]][] {
  const zones = new Map<string, Member[]>();
  for (const node of nodes) zones.set(node.zone, [...(zones.get(node.zone) ?? []), node]);
  for (const members of zones.values()) members.sort((a, b) => a.n - b.n);
  return [...zones].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Cells as large as the number of nodes allows. */
function layout(
  zones: readonly (readonly [string, readonly Member[]])[],
  width: number,
): { readonly cell: number; readonly height: number } {
  const heightAt = (cell: number): number => {
    const perRow = Math.max(1, Math.floor(width / cell));
    return zones.reduce(
      (sum, [, nodes]) => sum + ZONE_TEXT + Math.ceil(nodes.length / perRow) * cell + GAP,
      BAND + GAP,
    );
  };
  let cell = LARGEST_CELL;
  while (cell > SMALLEST_CELL && heightAt(cell) > 460) cell--;
  return { cell, height: heightAt(cell) };
}

/** Draws what went through the cluster lately. @returns the highest sum, bytes a second */
export function drawRates(canvas: HTMLCanvasElement, { history }: State, spanMs: number): number {
  const height = 120;
  const width = canvas.clientWidth;
  const context = sized(canvas, height);
  const sums = history.map((rates) => SOURCES.reduce((sum, key) => sum + rates[key], 0));
  const top = Math.max(1, ...sums);
  const endMs = history.at(-1)?.atMs ?? 0;
  if (context === null) return top;
  const xOf = (atMs: number): number => width - ((endMs - atMs) * width) / spanMs;
  const floor = history.map(() => height);
  for (const key of SOURCES) {
    context.beginPath();
    history.forEach(({ atMs }, at) => context.lineTo(xOf(atMs), floor[at] ?? height));
    for (let at = history.length - 1; at >= 0; at--) {
      const rates = history[at];
      if (rates === undefined) continue;
      floor[at] = (floor[at] ?? height) - (rates[key] * (height - 4)) / top;
      context.lineTo(xOf(rates.atMs), floor[at] ?? height);
    }
    context.closePath();
    context.fillStyle = colour(key);
    context.fill();
  }
  return history.length === 0 ? 0 : top;
}
