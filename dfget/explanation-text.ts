import { formatBytes, formatDuration, formatRate } from '../lib/config/units.ts';
import type { BlobExplanation, SenderShare } from '../lib/observe/explain.ts';
import type { Explanation } from './explain.ts';

const BYTES = {
  cache: 'from this store',
  peer: 'from other nodes',
  supernode: 'from supernodes',
  registry: 'from the registry, for all',
  direct: 'from the registry, for this client alone',
  archive: 'from an archive',
} as const;

const WAITED = {
  authorization: 'for the right to read',
  'first-piece': 'for somebody to have the first piece',
  source: 'for somebody to have the next piece',
  slots: 'for a free slot',
  transfer: 'for bytes on their way',
  verification: 'for hash, disk and digest',
  client: 'for the client itself',
  other: 'elsewhere',
} as const;

const LIMITS = {
  received: 'the highest rate at which this node received bytes',
  registry: 'the highest rate at which this node read a registry',
  client: 'the client took no less',
} as const;

/** Reasons of `damselfly_fallback_total`. */
const FALLBACKS: Readonly<Record<string, string>> = {
  stalled: 'nothing came from the swarm',
  'no-peers': 'nobody was there who could send it',
  'supernode-failed': 'no supernode could read it',
  aside: 'a supernode, or the node that read it, was slow',
  hedge: 'the swarm gave far less than the registry would',
  'last-resort': 'nobody gave leave to read it for 20 s',
  'no-capability': 'no supernode says that this node may have it from peers',
};

const OUTCOMES = { complete: 'complete in', cut: 'cut off after', running: 'under way for' } as const;

/** For people: a few lines a blob, what took longest first. */
export function explanationText({ blobs, lost, name, slowest }: Explanation): string {
  const lines = [name, ...blobs.flatMap((blob) => ['', ...blobLines(blob)])];
  if (slowest !== undefined && blobs.length > 1) {
    const tookMs = blobs.reduce((sum, blob) => sum + blob.tookMs, 0);
    lines.push('', `slowest    ${slowLine(slowest, tookMs)}, over all blobs`);
  }
  if (lost > 0) lines.push('', `${lost} older events are forgotten: what was pulled long ago may be missing`);
  return `${lines.join('\n')}\n`;
}

function blobLines(blob: BlobExplanation): string[] {
  const { bytes, digest, fallbacks, firstByteMs, limit, outcome, rejectedPieces, size = 0, slowest } = blob;
  const first = firstByteMs === undefined ? '' : `, first byte after ${formatDuration(firstByteMs)}`;
  const took = outcome === 'not-read' ? '' : `${OUTCOMES[outcome]} ${formatDuration(blob.tookMs)}${first}`;
  return [
    `${digest.slice(0, 19)}  ${formatBytes(size)}  ${took}`,
    `  bytes    ${parts(bytes, BYTES, formatBytes)}`,
    `  waited   ${parts(blob.waitedMs, WAITED, formatDuration)}`,
    ...(limit === undefined || limit.ms === 0 ? [] : [`  limit    ${limitText(limit)}`]),
    ...(slowest === undefined ? [] : [`  slow     ${slowLine(slowest, blob.tookMs)}${others(blob)}`]),
    ...(fallbacks.length === 0
      ? []
      : [`  registry read by this node itself: ${fallbacks.map(fallbackText).join(', ')}`]),
    ...(rejectedPieces === 0 ? [] : [`  wrong    ${rejectedPieces} pieces did not match their proof`]),
  ];
}

function parts<K extends string>(
  amounts: Readonly<Record<K, number>>,
  names: Readonly<Record<K, string>>,
  format: (amount: number) => string,
): string {
  const shown = (Object.keys(names) as K[])
    .filter((key) => format(amounts[key]) !== format(0))
    .sort((a, b) => amounts[b] - amounts[a])
    .map((key) => `${format(amounts[key])} ${names[key]}`);
  return shown.length === 0 ? 'none' : shown.join(', ');
}

function fallbackText(reason: string): string {
  const meaning = FALLBACKS[reason];
  return meaning === undefined ? reason : `${meaning} (${reason})`;
}

function limitText({ by, bytesPerSecond, ms }: NonNullable<BlobExplanation['limit']>): string {
  const rate = bytesPerSecond > 0 ? ` (${formatRate(bytesPerSecond)})` : '';
  return `${formatDuration(ms)}: ${LIMITS[by]}${rate}`;
}

function slowLine({ bytes, bytesPerSecond, waitedMs, ...who }: SenderShare, tookMs: number): string {
  const rate = bytesPerSecond > 0 ? ` at ${formatRate(bytesPerSecond)} a piece` : '';
  const sent = bytes > 0 ? `; it sent ${formatBytes(bytes)}${rate}` : '; it sent nothing';
  return `${nameOf(who)}: ${formatDuration(waitedMs)} of ${formatDuration(tookMs)} waited for it${sent}`;
}

function others({ senders, slowest }: BlobExplanation): string {
  const rates = senders.filter(({ bytesPerSecond, id }) => id !== slowest?.id && bytesPerSecond > 0);
  if (rates.length === 0) return '';
  const best = Math.max(...rates.map(({ bytesPerSecond }) => bytesPerSecond));
  return `, the best of the others at ${formatRate(best)}`;
}

function nameOf({
  address,
  id,
  role,
  zone = '',
}: Pick<SenderShare, 'id' | 'role' | 'address' | 'zone'>): string {
  if (role === 'registry') return 'the registry';
  const at = address === undefined ? '' : ` at ${address}`;
  return `${role} ${id.slice(0, 8)}${at}${zone === '' ? '' : ` in zone ${zone}`}`;
}
