import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { DamselflyError } from '../../lib/core/errors.ts';
import { planText } from '../../lib/wire/plan-codec.ts';
import type { PlanView } from '../../lib/wire/plan-messages.ts';
import type { PreheatPlans } from '../preheat/plans/preheat-plans.ts';

const listQuery = z.object({ limit: z.coerce.number().int().min(1).max(100).default(20) });

/** `/api/v1/preheat-plans`: makes, lists, shows, stops, resumes and cancels staged rollouts. */
export function addPlansApi(
  app: FastifyInstance,
  plans: PreheatPlans,
  create: (make: () => Promise<PlanView>) => Promise<PlanView>,
): void {
  app.post('/api/v1/preheat-plans', async (request, reply) => {
    const text = planText.parse(request.body ?? {});
    const plan = await create(() => plans.create(text));
    return reply.code(201).header('location', `/api/v1/preheat-plans/${plan.id}`).send(plan);
  });

  app.get('/api/v1/preheat-plans', async (request) => ({
    plans: plans.list(listQuery.parse(request.query).limit),
  }));

  app.get('/api/v1/preheat-plans/:id', async (request) => known(request.params, (id) => plans.get(id)));

  for (const act of ['stop', 'resume'] as const) {
    app.post(`/api/v1/preheat-plans/:id/${act}`, async (request) =>
      known(request.params, (id) => plans.change(id, act)),
    );
  }

  app.delete('/api/v1/preheat-plans/:id', async (request) =>
    known(request.params, (id) => plans.change(id, 'cancel')),
  );
}

/** The plan that a path names. @throws JOB_UNKNOWN */
async function known(
  params: unknown,
  find: (id: number) => PlanView | undefined | Promise<PlanView | undefined>,
): Promise<PlanView> {
  const { id } = params as { readonly id: string };
  const plan = /^\d{1,15}$/.test(id) ? await find(Number(id)) : undefined;
  if (plan !== undefined) return plan;
  throw new DamselflyError('JOB_UNKNOWN', `this tracker has no plan ${id.slice(0, 20)}; another one may`);
}
