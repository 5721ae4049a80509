import type { ServerResponse } from 'node:http';
import { DamselflyError } from '../lib/core/errors.ts';
import { withAbort } from '../lib/core/single-flight.ts';
import type { Metrics } from '../lib/observe/metrics.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import { writeChunk } from './answer.ts';
import type { Headers } from './exchange.ts';

/**
 * How long the headers wait for the first byte: failures within it become proper answers, on which clients go to their
 * next source; and it is well below the time after which clients think that a mirror is dead.
 */
const HEADERS_WAIT_MS = 1_000;

export interface BlobAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Length of the body in bytes. */
  readonly length: number;
  /** When the request came in, on the proxy's clock. */
  readonly startedMs: number;
}

/**
 * Streams a blob, or a range of it, to the client. Returns once the last byte is handed to the network.
 * @throws what the source throws (the caller looks at `response.headersSent` to see what can still be told);
 * UPSTREAM_BROKEN when it yields fewer or more bytes than promised; ABORTED
 */
export async function sendBlobBody(
  deps: { readonly clock: Clock; readonly metrics: Metrics },
  response: ServerResponse,
  answer: BlobAnswer,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, metrics } = deps;
  const sendHead = (): void => {
    if (!response.headersSent) response.writeHead(answer.status, answer.headers);
  };
  const cancel = clock.after(HEADERS_WAIT_MS, () => {
    sendHead();
    response.flushHeaders();
  });
  const source = chunks[Symbol.asyncIterator]();
  let left = answer.length;
  let ended = false;
  try {
    for (;;) {
      const next = await withAbort(source.next(), signal);
      if (next.done === true) {
        ended = true;
        break;
      }
      const chunk = next.value;
      if (chunk.length > left) {
        throw new DamselflyError('UPSTREAM_BROKEN', 'the blob has more bytes than its size');
      }
      if (left === answer.length) metrics.firstByteSeconds.observe((clock.now() - answer.startedMs) / 1000);
      sendHead();
      await writeChunk(clock, response, chunk, signal);
      left -= chunk.length;
      metrics.sentBytes.inc({ to: 'client' }, chunk.length);
    }
    if (left > 0) throw new DamselflyError('UPSTREAM_BROKEN', 'the blob has fewer bytes than its size');
    sendHead();
    await ending(response, signal);
  } finally {
    cancel();
    // Not waited for: a source that is asked for a byte right now ends by the signal.
    if (!ended) source.return?.().catch(() => {});
  }
}

async function ending(response: ServerResponse, signal: AbortSignal): Promise<void> {
  await withAbort(new Promise<void>((resolve) => response.end(resolve)), signal);
}
