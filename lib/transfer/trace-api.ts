import type { FastifyInstance } from 'fastify';
import { DamselflyError, ERROR_CODES } from '../core/errors.ts';
import { isLoopback } from '../core/loopback.ts';
import type { PeerInfo } from '../core/node.ts';
import { VERSION } from '../core/version.ts';
import type { TraceHead } from '../observe/trace.ts';
import type { TraceRing } from '../observe/trace-ring.ts';
import type { Clock } from '../runtime/clock.ts';

export interface TraceApiDeps {
  readonly ring: Pick<TraceRing, 'read' | 'lost'>;
  readonly clock: Clock;
  readonly self: () => PeerInfo;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** The trace of a process as text: JSON lines, first a {@link TraceHead}. @param digests of these blobs @default all */
function traceText({ clock, ring, self, wallClockMs }: TraceApiDeps, digests?: ReadonlySet<string>): string {
  const { id, role } = self();
  const times = { nowMs: clock.now(), wallMs: wallClockMs() };
  const head: TraceHead = { kind: 'trace', id, role, version: VERSION, ...times, lost: ring.lost };
  return [head, ...ring.read(digests)].map((line) => `${JSON.stringify(line)}\n`).join('');
}

/**
 * `GET /v1/trace`: what has happened lately in this process. `digest`, repeatable, leaves other blobs out. It names blobs
 * and peers: over the network only this machine may ask, and a Unix socket has an owner.
 */
export function addTraceApi(server: FastifyInstance, deps: () => TraceApiDeps): void {
  server.get('/v1/trace', async (request, reply) => {
    const { remoteAddress } = request.raw.socket;
    if (remoteAddress !== undefined && !isLoopback(remoteAddress)) {
      const error = new DamselflyError('LOCAL_ONLY', 'the trace is told to the same machine only');
      const { code, facts, message } = error;
      return reply.code(ERROR_CODES[code].status).send({ code, message, facts });
    }
    const { digest } = request.query as { digest?: string | string[] };
    const digests = digest === undefined ? undefined : new Set([digest].flat());
    return reply.type('application/x-ndjson').send(traceText(deps(), digests));
  });
}
