import { abortedError, DamselflyError } from '../../core/errors.ts';
import { withAbort } from '../../core/single-flight.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { HttpExchange } from '../exchange.ts';
import type { LayoutFiles } from './layout-files.ts';
import { answerFromLayout } from './layout-registry.ts';

export interface LayoutTimeouts {
  readonly headersTimeoutMs: number;
  /** Longest wait for a chunk of a body. */
  readonly bodyTimeoutMs: number;
}

/**
 * Asks layouts as registries are asked. Waits no longer than it is told, also for a disk that hangs.
 * @param deps.closing ends what is under way
 */
export function layoutExchange(
  files: LayoutFiles,
  deps: { readonly clock: Clock; readonly metrics?: Metrics; readonly closing: AbortSignal },
  { bodyTimeoutMs, headersTimeoutMs }: LayoutTimeouts,
): HttpExchange {
  const inTime = async <T>(mostMs: number, signal: AbortSignal, act: () => Promise<T>): Promise<T> => {
    try {
      return await withDeadline(deps.clock, mostMs, signal, (late) => withAbort(act(), late));
    } catch (error) {
      if (signal.aborted) throw abortedError(signal);
      if (!(error instanceof DamselflyError) || error.code !== 'ABORTED') throw error;
      throw new DamselflyError('UPSTREAM_UNREACHABLE', `${files.place} did not answer within ${mostMs} ms`);
    }
  };

  async function* chunkByChunk(
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const chunks = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await inTime(bodyTimeoutMs, signal, () => chunks.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not waited for: it ends only when a read that hangs has ended.
      chunks.return?.().catch(() => {});
    }
  }

  return async (request, given) => {
    const signal = AbortSignal.any([given, deps.closing]);
    const count = (status: string): void => deps.metrics?.originRequests.inc({ kind: request.kind, status });
    if (signal.aborted) throw abortedError(signal);
    // Ends the body too, which may be read for longer than an answer may take.
    const late = new AbortController();
    const ending = AbortSignal.any([signal, late.signal]);
    try {
      const answer = await inTime(headersTimeoutMs, signal, () => answerFromLayout(files, request, ending));
      count(String(answer.status));
      return { ...answer, body: chunkByChunk(answer.body, signal) };
    } catch (error) {
      late.abort();
      if (!signal.aborted) count('failed');
      throw error;
    }
  };
}
