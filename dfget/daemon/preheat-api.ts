import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type {
  PlanAnswer,
  PreheatAnswer,
  PreheatQuestions,
} from '../../lib/transfer/preheat/preheat-questions.ts';
import { planQuestion } from '../../lib/wire/plan-codec.ts';
import { wishText } from '../../lib/wire/preheat-codec.ts';
import type { PreheatQuestion } from '../../lib/wire/preheat-messages.ts';
import { goneSignal } from './gone-signal.ts';

const id = z.int().min(0);
const body = z.strictObject({
  /** Who has the job; absent: whichever tracker is connected. */
  tracker: z.string().optional(),
  question: z.discriminatedUnion('act', [
    z.strictObject({ act: z.literal('create'), wish: z.strictObject(wishText.shape) }),
    z.strictObject({ act: z.enum(['get', 'cancel']), id }),
    z.strictObject({ act: z.literal('list') }),
  ]),
});

const planBody = z.strictObject({ tracker: z.string().optional(), question: planQuestion });

/** `/v1/preheats` and `/v1/plans` of the daemon's socket: what it asks its trackers for people on this machine. */
export function addPreheatApi(
  server: FastifyInstance,
  questions: () => Pick<PreheatQuestions, 'ask' | 'askPlans'>,
): void {
  server.post('/v1/preheats', async (request, reply): Promise<PreheatAnswer> => {
    const { question, tracker } = body.parse(request.body);
    return await questions().ask(question satisfies PreheatQuestion, tracker, goneSignal(reply));
  });

  server.post('/v1/plans', async (request, reply): Promise<PlanAnswer> => {
    const { question, tracker } = planBody.parse(request.body);
    return await questions().askPlans(question, tracker, goneSignal(reply));
  });
}
