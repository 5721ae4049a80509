import { formatBytes, formatDuration, formatRate } from '../../lib/config/units.ts';
import type { BlobView, TopView } from './view.ts';

const BAR_CELLS = 20;
const DIGEST_CHARS = 19;
/** Lines above the blobs. */
const HEAD_LINES = 6;

/** A terminal full of what the node does, at most `rows` lines of at most `columns` characters. */
export function drawTop(
  view: TopView,
  { columns, rows }: { readonly columns: number; readonly rows: number },
): readonly string[] {
  const { blobs, neighbours, node, paused, peersBy, store, zone } = view;
  const head = [
    `node ${node.slice(0, 8)}${zone === '' ? '' : `  zone ${zone}`}  peers by ${peersBy}${paused.length === 0 ? '' : `  PAUSED: ${paused.join(', ')}`}`,
    `neighbours ${neighbours.nodes} nodes, ${neighbours.supernodes} supernodes   store ${store.complete} of ${store.blobs} blobs whole, ${formatBytes(store.bytes)}`,
    `in   ${ratesText(view.receiving)}`,
    `out  ${ratesText(view.sending)}`,
    '',
    `${'blob'.padEnd(DIGEST_CHARS)}  ${'size'.padStart(10)}  ${''.padEnd(BAR_CELLS + 6)}  ${'rate'.padStart(12)}  ${'left'.padStart(8)}  readers`,
  ];
  const room = Math.max(0, rows - HEAD_LINES);
  const shown = blobs.length > room ? blobs.slice(0, Math.max(0, room - 1)) : blobs;
  const rest = blobs.length - shown.length;
  const lines = [...head, ...shown.map(blobLine), ...(rest > 0 && room > 0 ? [`and ${rest} more`] : [])];
  return lines.slice(0, rows).map((line) => line.trimEnd().slice(0, columns));
}

/** What {@link TopView} calls by the labels of the metrics. */
const NAMES: Readonly<Record<string, string>> = {
  origin: 'registries',
  supernode: 'supernodes',
  peer: 'nodes',
  archive: 'archives',
  client: 'clients',
};

/** The same in a line, for logs. */
export function topLine(view: TopView): string {
  const moving = view.blobs.filter(({ bytesPerSecond }) => bytesPerSecond > 0).length;
  return `in ${ratesText(view.receiving)}; out ${ratesText(view.sending)}; ${moving} of ${view.blobs.length} blobs move, ${view.neighbours.nodes + view.neighbours.supernodes} neighbours`;
}

function blobLine(blob: BlobView): string {
  const { bytesPerSecond, digest, done, readers, secondsLeft, size } = blob;
  const cells = Math.floor(done * BAR_CELLS);
  const bar = `[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}]`;
  const percent = `${Math.floor(done * 100)}%`.padStart(4);
  const rate = bytesPerSecond === 0 ? '' : formatRate(bytesPerSecond);
  const left = secondsLeft === null ? '' : formatDuration(secondsLeft * 1000);
  return `${digest.slice(0, DIGEST_CHARS)}  ${formatBytes(size).padStart(10)}  ${bar}${percent}  ${rate.padStart(12)}  ${left.padStart(8)}  ${readers === 0 ? '' : readers}`;
}

function ratesText(rates: Readonly<Record<string, number>>): string {
  const all = Object.values(rates).reduce((sum, rate) => sum + rate, 0);
  const parts = Object.entries(rates)
    .filter(([, rate]) => rate > 0)
    .map(([name, rate]) => `${NAMES[name] ?? name} ${formatRate(rate)}`);
  return `${formatRate(all)}${parts.length < 2 ? parts.map((part) => ` (${part.replace(/ .*/, '')})`).join('') : ` (${parts.join(', ')})`}`;
}
