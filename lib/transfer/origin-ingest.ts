import { pieceHash } from '../core/digest.ts';
import { DamselflyError, describeError } from '../core/errors.ts';
import { pieceLength, pieceOffset } from '../core/geometry.ts';
import type { BlobOrigin } from '../core/node.ts';
import type { Logger } from '../observe/log.ts';
import { isWorthRetrying, type OriginClient } from '../origin/origin-client.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import { type Rng, randomHex } from '../runtime/rng.ts';
import type { BufferPool, PieceBuffer } from './buffer-pool.ts';
import type { PieceSink } from './piece-sink.ts';
import type { SharedBlob } from './shared-blob.ts';

/** Attempts in a row without a new piece before a registry read is given up. */
const ATTEMPTS = 5;
const FIRST_RETRY_MS = 200;

export interface IngestDeps {
  readonly origin: OriginClient;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
}

/**
 * Reads a blob from the registry into the store, piece by piece, each offered to the swarm as soon as it is on disk.
 * A broken read goes on from the last whole piece. `origins` are the ways to read it, the first caller's first; one that
 * the registry refuses is dropped from the list.
 * @throws the last UPSTREAM_* error, STORE_*, ABORTED
 */
export async function ingest(
  deps: IngestDeps,
  blob: SharedBlob,
  origins: BlobOrigin[],
  sink: PieceSink,
  landed: (index: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log, rng } = deps;
  const generation = blob.stored.proof(0)?.generation ?? randomHex(rng, 8);
  let attempt = 0;
  for (;;) {
    const before = blob.stored.have.count;
    const origin = origins[0];
    if (blob.stored.have.complete || origin === undefined) return;
    try {
      await readOnce(deps, blob, origin, generation, sink, landed, signal);
    } catch (error) {
      if (!(error instanceof DamselflyError) || !error.code.startsWith('UPSTREAM_')) throw error;
      const refused = !isWorthRetrying(error);
      attempt = blob.stored.have.count > before ? 1 : attempt + 1;
      const facts = {
        digest: blob.digest,
        upstream: origin.upstream,
        repository: origin.repository,
        attempt,
      };
      log.warn({ ...facts, error: describeError(error) }, 'registry read broke off');
      if (refused) {
        origins.shift();
        if (origins.length === 0) throw error;
      } else if (attempt >= ATTEMPTS) {
        throw error;
      } else {
        await delay(clock, FIRST_RETRY_MS * 2 ** attempt, signal);
      }
    }
  }
}

/** One registry read, from the first missing piece to the end. The next piece fills while the last one is written. */
async function readOnce(
  deps: IngestDeps,
  blob: SharedBlob,
  origin: BlobOrigin,
  generation: string,
  sink: PieceSink,
  landed: (index: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { info, stored } = blob;
  let index = stored.have.firstClear();
  const read = { origin, digest: blob.digest, start: pieceOffset(info, index) };
  const body = await deps.origin.readBlob(read, { signal });
  if (body.size !== info.size) {
    const facts = { digest: blob.digest, told: info.size, registry: body.size };
    throw new DamselflyError('UPSTREAM_BROKEN', 'the registry has the blob with another size', facts);
  }
  let writing = Promise.resolve();
  let buffer: PieceBuffer | undefined;
  let filled = 0;
  const land = async (at: number, full: PieceBuffer): Promise<void> => {
    try {
      const proof = { index: at, hash: pieceHash(full.bytes), generation, signature: new Uint8Array() };
      await sink.accept(blob, proof, full.bytes, 'origin');
      landed(at);
    } finally {
      full.release();
    }
  };
  try {
    for await (const chunk of body.bytes) {
      for (let taken = 0; taken < chunk.length; ) {
        buffer ??= await deps.pool.acquire(pieceLength(info, index), signal);
        const part = chunk.subarray(taken, taken + buffer.bytes.length - filled);
        buffer.bytes.set(part, filled);
        filled += part.length;
        taken += part.length;
        if (filled < buffer.bytes.length) continue;
        const full = buffer;
        buffer = undefined;
        filled = 0;
        await writing;
        writing = land(index++, full);
        writing.catch(() => {});
      }
    }
    await writing;
  } finally {
    buffer?.release();
    await writing.catch(() => {});
  }
}
