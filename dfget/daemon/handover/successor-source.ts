import type { BlobRequest, BlobSource } from '../../../lib/core/blob-source.ts';
import { hasCode } from '../../../lib/core/errors.ts';
import { withAbort } from '../../../lib/core/single-flight.ts';
import { type Clock, delay } from '../../../lib/runtime/clock.ts';
import { restOf } from './rest-of.ts';

/** A successor may itself be restarted, or hand over: so long its socket may be silent. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 200;

/**
 * The blobs of the process that has taken over, as read through its socket: whenever the connection breaks, the rest is
 * asked for again, of whoever is behind the socket then.
 */
export function createSuccessorSource(clock: Clock, client: BlobSource): BlobSource {
  return {
    async *open(request: BlobRequest, { signal }): AsyncGenerator<Uint8Array> {
      let sent = 0;
      let heardMs = clock.now();
      for (let rest = restOf(request, 0); rest !== undefined; rest = restOf(request, sent)) {
        try {
          for await (const chunk of client.open(rest, { signal })) {
            sent += chunk.length;
            yield chunk;
            heardMs = clock.now();
          }
          return;
        } catch (error) {
          if (!isDisconnection(error) || clock.now() - heardMs > PATIENCE_MS) throw error;
          await withAbort(delay(clock, RETRY_MS), signal);
        }
      }
    },
  };
}

/** Not what the daemon says of the blob, but that it is gone. */
function isDisconnection(error: unknown): boolean {
  if (hasCode(error, 'DAEMON_UNREACHABLE')) return true;
  return hasCode(error, 'UPSTREAM_BROKEN') && error.facts['socketPath'] !== undefined;
}
