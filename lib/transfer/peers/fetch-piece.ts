import { pieceHash } from '../../core/digest.ts';
import { pieceLength, pieceOffset } from '../../core/geometry.ts';
import type { PeerInfo } from '../../core/node.ts';
import { sameBytes } from '../../core/proof.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Trace } from '../../observe/trace.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Pace } from '../../runtime/rate-limit.ts';
import type { PieceSink } from '../blobs/piece-sink.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import type { BufferPool } from '../buffer-pool.ts';
import type { PieceTransport } from '../seams.ts';
import type { Neighbour } from './neighbour.ts';

export interface FetchPieceDeps {
  readonly self: () => Pick<PeerInfo, 'zone'>;
  readonly network: PieceTransport;
  /** Of all downloads together. */
  readonly pace: Pace;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
}

export interface PieceWanted {
  readonly blob: SharedBlob;
  readonly piece: number;
  readonly neighbour: Neighbour;
  /** Our own id. */
  readonly from: string;
}

export interface FetchPieceEvents {
  readonly signal: AbortSignal;
  /** Bytes have come. */
  readonly onProgress?: () => void;
  /** All bytes have come; hash and disk are next. */
  readonly onArrived?: () => void;
  /** The piece is on disk; the digest of the whole blob is next. Not called for a second copy. */
  readonly onStored?: () => void;
}

/**
 * Fetches one piece from a neighbour, verifies it against its proof and hands it to the sink.
 * @returns `missing` when there is no proof to hold it against, `corrupt` when it does not match
 * @throws PEER_*, BLOB_UNKNOWN, STORE_*, ABORTED
 */
export async function fetchPiece(
  deps: FetchPieceDeps,
  sink: PieceSink,
  { blob, from, neighbour, piece }: PieceWanted,
  { onArrived, onProgress, onStored, signal }: FetchPieceEvents,
): Promise<'received' | 'missing' | 'corrupt'> {
  const { clock, metrics, network, pace, pool, self, trace } = deps;
  const { digest, info } = blob;
  const { host, id, port, role, zone } = neighbour.peer;
  const proof = blob.trustedProof(piece);
  if (proof === undefined) return 'missing';
  const start = pieceOffset(info, piece);
  const length = pieceLength(info, piece);
  const buffer = await pool.acquire(length, signal);
  try {
    blob.stored.expect({ ...proof, index: piece });
    const askedMs = clock.now();
    const asked = { address: { host, port }, from, digest, range: { start, end: start + length } };
    const ask = (): void => {
      metrics.reversedConnections.inc({ outcome: 'asked' });
      neighbour.send({ type: 'reverse' });
    };
    const way = { peer: id, ask };
    // A supernode that is slow is busy: to connect to all who wait would cost it more than to answer them.
    const reverse = role === 'node' ? way : undefined;
    const progress = onProgress === undefined ? {} : { onProgress };
    let arrivedMs: number | undefined;
    let matches = false;
    try {
      await network.fetch(asked, buffer.bytes, { signal, pace, reverse, ...progress });
      arrivedMs = clock.now();
      onArrived?.();
      matches = sameBytes(pieceHash(buffer.bytes), proof.hash);
    } finally {
      const overtaken = signal.aborted && !matches && blob.stored.have.has(piece);
      const sent = { askedMs, untilMs: arrivedMs ?? clock.now(), bytes: matches ? length : 0, overtaken };
      const traceparent = blob.origin?.traceparent;
      if (traceparent !== undefined && blob.readers > 0) blob.senders.note(neighbour.peer, sent, traceparent);
    }
    if (!matches) {
      metrics.piecesRejected.inc({ reason: 'proof' });
      trace?.(clock.now(), { kind: 'piece-rejected', digest, index: piece, from: id });
      return 'corrupt';
    }
    const source = role === 'supernode' ? 'supernode' : 'peer';
    const given = { from: id, askedMs, arrivedMs };
    await sink.accept(blob, { ...proof, index: piece }, buffer, source, given, onStored);
    if (zone !== self().zone) metrics.borderBytes.inc({ from: zone }, length);
    return 'received';
  } finally {
    buffer.release();
  }
}
