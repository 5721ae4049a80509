import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { connections, MIN_RATE_BYTES_PER_SECOND, rate } from '../config/values.ts';
import { DamselflyError, ERROR_CODES } from '../core/errors.ts';
import { isLoopback } from '../core/loopback.ts';
import type { LimitSettings, Limits } from './limits.ts';

const change = z.strictObject({
  uploadRate: rate().optional(),
  downloadRate: rate().optional(),
  registryRate: rate().optional(),
  borderRate: rate().optional(),
  maxConnections: connections().optional(),
});

/**
 * `GET /v1/limits` shows the limits in force, `PUT` changes those that its JSON names: rates as in the flags or as bytes
 * per second, `"none"` for no limit. Only this machine may change them, and no web page: a browser always sends Origin.
 */
export function addLimitsApi(server: FastifyInstance, limits: Limits): void {
  server.get('/v1/limits', async () => shown(limits.settings));
  server.put('/v1/limits', async (request, reply) => {
    const { socket } = request.raw;
    if (!isLoopback(socket.remoteAddress ?? '') || request.headers.origin !== undefined) {
      const message = 'limits are changed from the same machine only, and not by a web page';
      return tell(reply, new DamselflyError('LOCAL_ONLY', message), ERROR_CODES.LOCAL_ONLY.status);
    }
    const wanted = change.safeParse(request.body ?? {});
    if (!wanted.success) {
      const message = wanted.error.issues.map((issue) => explain(issue, request.body)).join('\n');
      return tell(reply, new DamselflyError('CONFIG_INVALID', message), 400);
    }
    const named = Object.entries(wanted.data).filter(([, value]) => value !== undefined);
    limits.change(Object.fromEntries(named));
    return shown(limits.settings);
  });
}

function tell(
  reply: { code(status: number): { send(body: object): unknown } },
  { code, message, facts }: DamselflyError,
  status: number,
): unknown {
  return reply.code(status).send({ code, message, facts });
}

/** JSON has no Infinity. */
function shown(settings: LimitSettings): Record<string, number | 'none'> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [name, Number.isFinite(value) ? value : 'none']),
  );
}

function explain(issue: z.core.$ZodIssue, body: unknown): string {
  const names = Object.keys(change.shape).join(', ');
  if (issue.code === 'unrecognized_keys') return `unknown limit ${issue.keys.join(', ')}; it may be ${names}`;
  const [name] = issue.path;
  if (name === undefined) return `expected a JSON object with some of ${names}`;
  const got = JSON.stringify((body as Record<PropertyKey, unknown>)[name])?.slice(0, 200);
  const expected =
    issue.code === 'custom'
      ? issue.message
      : `expected ${name === 'maxConnections' ? 'a whole number' : `none, or a rate of at least ${MIN_RATE_BYTES_PER_SECOND} bytes per second`}`;
  return `${String(name)}: got ${got}; ${expected}`;
}
