import type { FastifyReply } from 'fastify';
import { DamselflyError } from '../../lib/core/errors.ts';

/** Fires when the client has gone before the answer was complete. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new DamselflyError('ABORTED', 'the client went away'));
  });
  return controller.signal;
}
