import type { PieceEvent, PullBegin, PullEnd, PullLimit, TraceLine } from './trace.ts';
import { CAUSES, type Cause, REGISTRY, Readers, type Stretch, stretchesOf } from './where-time-went.ts';

/** Who sent bytes of a blob to this node, and how long its client waited for them. */
export interface SenderShare {
  /** Id of a peer, or `registry`. */
  readonly id: string;
  readonly role: 'node' | 'supernode' | 'registry';
  /** `host:port` and zone of a peer. */
  readonly address?: string;
  readonly zone?: string;
  readonly bytes: number;
  /** Of its transfers, each by itself; 0 when none was timed. */
  readonly bytesPerSecond: number;
  /** The client waited for it so long. */
  readonly waitedMs: number;
}

/** What became of one blob for its last client. */
export interface BlobExplanation {
  readonly digest: string;
  /** Bytes of the whole blob; undefined when no client asked for it as far back as the trace goes. */
  readonly size?: number;
  readonly outcome: 'complete' | 'cut' | 'running' | 'not-read';
  /** From the client's request to its last byte; so far, while it runs. */
  readonly tookMs: number;
  readonly firstByteMs?: number;
  /** Bytes by where they came from. `direct`: from the registry for this client alone, past the swarm. */
  readonly bytes: {
    readonly cache: number;
    readonly peer: number;
    readonly supernode: number;
    readonly registry: number;
    readonly archive: number;
    readonly direct: number;
  };
  /** Adds up to `tookMs`. `client`: it took its time; `other`: our own disk, and what nobody was timed for. */
  readonly waitedMs: Readonly<Record<Cause | 'client' | 'other', number>>;
  readonly limit?: { readonly ms: number; readonly by: PullLimit; readonly bytesPerSecond: number };
  /** Who made the client wait longest first. */
  readonly senders: readonly SenderShare[];
  /** The first of them, when the client waited for it a tenth of its time or longer. */
  readonly slowest?: SenderShare;
  /** Why this node read the registry itself. */
  readonly fallbacks: readonly string[];
  readonly rejectedPieces: number;
}

/** Of the time a pull took: whoever cost less is not called slow. */
const SLOW_SHARE = 0.1;

type Line<T> = T & { readonly atMs: number };

/**
 * Explains a blob's last pull, or the one under way, from the trace of its node.
 * @param lines of the node, in order; other blobs' are left out
 * @param nowMs the node's clock when the trace was read
 */
export function explainBlob(lines: readonly TraceLine[], digest: string, nowMs: number): BlobExplanation {
  const ours = lines.filter((line) => 'digest' in line && line.digest === digest);
  const begin = ours.findLastIndex(({ kind }) => kind === 'pull');
  const pull = ours[begin] as Line<PullBegin> | undefined;
  const end = ours.find(
    (line): line is Line<PullEnd> => line.kind === 'pull-end' && line.pull === pull?.pull,
  );
  const beganMs = pull?.askedMs ?? Number.NEGATIVE_INFINITY;
  const endedMs = end?.atMs ?? nowMs;
  const during = ours.filter(({ atMs }) => atMs >= beganMs && (end === undefined || atMs <= endedMs));
  // In order, not in time: what came just before it was here. A small blob is given first and stored then.
  const pieces = ours
    .slice(begin + 1)
    .filter(
      (line): line is Line<PieceEvent> =>
        line.kind === 'piece' && (end?.outcome === 'complete' || line.atMs <= endedMs),
    );
  const timed = timeOf(during, pieces, pull);
  const tookMs = pull === undefined ? 0 : endedMs - beganMs;
  const senders = sendersOf(lines, pieces, timed);
  const [first] = senders;
  const clientMs = end?.clientMs ?? 0;
  const waited = sumOf(timed, ({ cause }) => cause);
  const accounted = [...waited.values()].reduce((sum, ms) => sum + ms, 0) + clientMs;
  const fromSource = (source: PieceEvent['source']): number =>
    pieces.reduce((sum, piece) => (piece.source === source ? sum + piece.bytes : sum), 0);
  const cameBytes = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    digest,
    ...(pull === undefined ? {} : { size: pull.size }),
    outcome: pull === undefined ? 'not-read' : (end?.outcome ?? 'running'),
    tookMs,
    ...(end?.firstByteMs === undefined ? {} : { firstByteMs: end.firstByteMs }),
    bytes: {
      // A small blob may have come ahead of its client, with others of its image.
      cache: Math.max(end?.hereBytes ?? 0, (end?.sentBytes ?? 0) - (end?.directBytes ?? 0) - cameBytes),
      peer: fromSource('peer'),
      supernode: fromSource('supernode'),
      registry: fromSource('origin'),
      archive: fromSource('archive'),
      direct: end?.directBytes ?? 0,
    },
    waitedMs: {
      ...(Object.fromEntries(CAUSES.map((cause) => [cause, waited.get(cause) ?? 0])) as Record<
        Cause,
        number
      >),
      client: clientMs,
      other: Math.max(0, tookMs - accounted),
    },
    ...(end === undefined
      ? {}
      : { limit: { ms: end.limitMs, by: end.limitBy, bytesPerSecond: end.limitBytesPerSecond } }),
    senders,
    ...(first !== undefined && first.waitedMs > 0 && first.waitedMs >= tookMs * SLOW_SHARE
      ? { slowest: first }
      : {}),
    fallbacks: [...new Set(during.flatMap((line) => (line.kind === 'fallback' ? [line.reason] : [])))],
    rejectedPieces: during.filter(({ kind }) => kind === 'piece-rejected').length,
  };
}

/** Every stretch that the client of this pull waited. */
function timeOf(
  during: readonly TraceLine[],
  pieces: readonly Line<PieceEvent>[],
  pull: Line<PullBegin> | undefined,
): Stretch[] {
  if (pull === undefined) return [];
  const readers = new Readers();
  for (const piece of pieces) readers.note(piece);
  const byIndex = new Map(pieces.map((piece) => [piece.index, piece]));
  const firstMs = Math.min(...pieces.map(({ arrivedMs, atMs }) => arrivedMs ?? atMs));
  const stretches: Stretch[] = [];
  if (pull.atMs > pull.askedMs) {
    stretches.push({ cause: 'authorization', ms: pull.atMs - pull.askedMs, on: REGISTRY });
  }
  for (const line of during) {
    if (line.kind !== 'waited' || line.pull !== pull.pull) continue;
    const piece = byIndex.get(line.index);
    const first = line.sinceMs <= firstMs;
    stretches.push(...stretchesOf(line, line.atMs, piece, first, readers.of(piece)));
  }
  return stretches;
}

function sendersOf(
  lines: readonly TraceLine[],
  pieces: readonly Line<PieceEvent>[],
  timed: readonly Stretch[],
): SenderShare[] {
  const known = new Map(lines.flatMap((line) => (line.kind === 'link-up' ? [[line.peer, line]] : [])));
  const waited = sumOf(timed, ({ on }) => on);
  const sent = new Map<string, { bytes: number; timedBytes: number; ms: number; supernode: boolean }>();
  for (const { arrivedMs, askedMs, bytes, from, source } of pieces) {
    const id = source === 'origin' ? REGISTRY : from;
    if (id === undefined) continue;
    const share = sent.get(id) ?? { bytes: 0, timedBytes: 0, ms: 0, supernode: source === 'supernode' };
    sent.set(id, share);
    share.bytes += bytes;
    if (askedMs === undefined || arrivedMs === undefined) continue;
    share.timedBytes += bytes;
    share.ms += arrivedMs - askedMs;
  }
  const shares = [...new Set([...sent.keys(), ...waited.keys()])].map((id): SenderShare => {
    const peer = known.get(id);
    const { bytes = 0, ms = 0, supernode = false, timedBytes = 0 } = sent.get(id) ?? {};
    const role = id === REGISTRY ? REGISTRY : (peer?.role ?? (supernode ? 'supernode' : 'node'));
    const place = peer === undefined ? {} : { address: `${peer.host}:${peer.port}`, zone: peer.zone };
    const bytesPerSecond = ms > 0 ? Math.round((timedBytes * 1000) / ms) : 0;
    return { id, role, ...place, bytes, bytesPerSecond, waitedMs: waited.get(id) ?? 0 };
  });
  return shares.sort((a, b) => b.waitedMs - a.waitedMs || b.bytes - a.bytes);
}

function sumOf<K>(
  stretches: readonly Stretch[],
  keyOf: (stretch: Stretch) => K | undefined,
): ReadonlyMap<K, number> {
  const sums = new Map<K, number>();
  for (const stretch of stretches) {
    const key = keyOf(stretch);
    if (key !== undefined) sums.set(key, (sums.get(key) ?? 0) + stretch.ms);
  }
  return sums;
}
