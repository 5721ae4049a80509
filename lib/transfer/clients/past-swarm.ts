import type { BlobRequest } from '../../core/blob-source.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import type { BufferPool } from '../buffer-pool.ts';
import { wantedRange } from './blob-reader.ts';
import { type DirectFrom, readDirectly } from './direct-read.ts';
import type { PullTrace } from './pull-trace.ts';
import type { Spool } from './spool.ts';

export interface PastSwarmDeps {
  readonly origin: OriginClient;
  readonly pool: BufferPool;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'fallback'>;
  /** See NodeHabits. */
  readonly wholeBlobs?: Spool | undefined;
}

/** What a client reads past store and swarm, for itself alone. */
export class PastSwarm {
  readonly #deps: PastSwarmDeps;

  constructor(deps: PastSwarmDeps) {
    this.#deps = deps;
  }

  /** The bytes from where the client stands on. @throws as {@link readDirectly} */
  async *read(
    request: BlobRequest,
    from: DirectFrom,
    told: PullTrace,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#bytes(request, from, signal)) {
      told.got(chunk.length, true);
      yield chunk;
    }
  }

  /** Says why a client reads so, though its disk is well. */
  tell({ digest, size }: BlobRequest, reason: 'doubt' | 'size', why: string): void {
    this.#deps.metrics.fallback.inc({ reason });
    this.#deps.log.warn({ digest, size }, `${why}: reading past it from the registry`);
  }

  #bytes(request: BlobRequest, from: DirectFrom, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { origin, pool, wholeBlobs } = this.#deps;
    if (wholeBlobs === undefined) return readDirectly(origin, request, from, signal);
    const { digest, size } = request;
    const all = readDirectly(origin, { digest, size, origin: request.origin }, { start: 0 }, signal);
    return wholeBlobs.after(all, { ...wantedRange(request), start: from.start }, pool);
  }
}
