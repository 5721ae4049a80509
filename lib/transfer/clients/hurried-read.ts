import type { BlobRequest } from '../../core/blob-source.ts';
import { pieceAt } from '../../core/geometry.ts';
import type { ByteRange } from '../../core/range.ts';
import type { BlobBody, OriginClient } from '../../origin/origin-client.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { SharedBlob } from '../blobs/shared-blob.ts';
import { wantedRange } from './blob-reader.ts';

/** Lazy readers (eStargz, SOCI, zstd:chunked) ask for footers and tables of contents: no longer than this. */
const SHORT_BYTES = 1024 * 1024;
/** So long a short part may take to come from the swarm, which has it last of all when it is the end of a cold blob. */
const SHORT_WAIT_MS = 50;

export interface HurriedReadDeps {
  readonly origin: Pick<OriginClient, 'readBlob'>;
  readonly clock: Clock;
}

/**
 * A short part straight from the registry, when it does not come from the swarm before its reader loses time.
 * @returns undefined when it is better left to the swarm
 * @throws ABORTED
 */
export async function readHurried(
  { clock, origin }: HurriedReadDeps,
  blob: SharedBlob,
  request: BlobRequest,
  signal: AbortSignal,
): Promise<BlobBody | undefined> {
  const range = wantedRange(request);
  if (await comesSoon(clock, blob, range, signal)) return undefined;
  try {
    return await origin.readBlob({ ...request, ...range }, { signal });
  } catch (error) {
    // The swarm may still have it when the registry does not give it to us.
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** Whether to wait for the swarm: the range is long, or its pieces are here before a lazy reader has lost time. */
async function comesSoon(
  clock: Clock,
  blob: SharedBlob,
  range: ByteRange,
  signal: AbortSignal,
): Promise<boolean> {
  if (range.end - range.start > SHORT_BYTES) return true;
  const { have } = blob.stored;
  const first = pieceAt(blob.info, range.start);
  const last = pieceAt(blob.info, range.end - 1);
  const late = new AbortController();
  void delay(clock, SHORT_WAIT_MS, late.signal).then(
    () => late.abort(),
    () => {},
  );
  const waiting = AbortSignal.any([signal, late.signal]);
  try {
    for (let piece = first; piece <= last; ) {
      if (have.has(piece)) piece++;
      else await blob.nextChange(waiting);
    }
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    return false;
  } finally {
    late.abort();
  }
}
