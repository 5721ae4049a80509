import type { ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { DamselflyError } from '../../core/errors.ts';
import { type ByteRange, contentRange } from '../../core/range.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BufferPool } from '../buffer-pool.ts';
import { IDLE_UPLOAD_MS, type PieceAdmission } from '../seams.ts';

/** The largest piece in one read and one write: the cost is per chunk (docs/DATA-PLANE.md). */
const CHUNK_BYTES = 4 * 1024 * 1024;
/** A receiver that does not take one chunk in this time is cut off; its upload slot it has lost long before. */
const SEND_STALL_MS = 30_000;

/**
 * Answers an admitted piece request: 206 and the bytes, one buffer in flight, given back only once the network is
 * done with it. Settles when the response has ended one way or the other; `done` has then been called. A failed read
 * destroys the connection: the head already promised the bytes.
 * @throws PEER_UNREACHABLE when the receiver went away, or what `read` threw
 */
export async function sendPiece(
  response: ServerResponse,
  admission: Extract<PieceAdmission, { kind: 'serve' }>,
  range: ByteRange,
  deps: { readonly clock: Clock; readonly pool: BufferPool },
): Promise<void> {
  const { pace } = admission;
  const buffer = deps.pool.lend(Math.min(CHUNK_BYTES, range.end - range.start));
  const gone = new AbortController();
  // Not after an answer that was sent whole: each abort makes an error with its stack, which is dear.
  const onClose = (): void => gone.abort();
  response.once('close', onClose);
  let sentBytes = 0;
  let writing = false;
  let idle = false;
  // The socket's own timer sees each byte that the network takes of a chunk. Without a listener it would end the socket.
  response.setTimeout(IDLE_UPLOAD_MS, () => {
    if (!writing || idle) return;
    idle = true;
    admission.idle();
  });
  try {
    response.writeHead(206, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': range.end - range.start,
      'Content-Range': contentRange(range, admission.size),
    });
    // TLS would copy head and chunk into one piece of memory. Plain, both are one call of the system, and wake the
    // receiver once.
    if (response.socket instanceof TLSSocket) response.flushHeaders();
    while (range.start + sentBytes < range.end) {
      const offset = range.start + sentBytes;
      const most = Math.min(buffer.bytes.length, range.end - offset);
      const chunk = buffer.bytes.subarray(0, Math.min(most, pace?.quantumBytes ?? most));
      const turn = pace?.take(chunk.length, gone.signal);
      if (turn !== undefined) await turn;
      await admission.read(offset, chunk);
      writing = true;
      await writeChunk(response, chunk, deps.clock);
      writing = false;
      sentBytes += chunk.length;
    }
    response.end();
  } catch (error) {
    response.destroy();
    throw error;
  } finally {
    response.removeListener('close', onClose);
    buffer.release();
    admission.done(sentBytes);
  }
}

/** Resolves once the network is done with the memory of `chunk`. */
function writeChunk(response: ServerResponse, chunk: Uint8Array, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => settle(new DamselflyError('PEER_UNREACHABLE', 'the receiver went away'));
    const cancelTimer = clock.after(SEND_STALL_MS, () => {
      // 'close' follows once the socket is gone, and with it the last use of the memory.
      response.destroy();
    });
    const settle = (error?: Error | null): void => {
      cancelTimer();
      response.removeListener('close', gone);
      if (error === undefined || error === null) resolve();
      else reject(error);
    };
    if (response.destroyed || response.closed) {
      gone();
      return;
    }
    response.once('close', gone);
    response.write(chunk, (error) => {
      if (error === undefined || error === null) settle();
    });
  });
}
