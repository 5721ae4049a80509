import { z } from 'zod';
import { isDigest, parseDigest } from '../../../lib/core/digest.ts';
import { describeError } from '../../../lib/core/errors.ts';
import type { Logger } from '../../../lib/observe/log.ts';
import type { KeyValue } from '../../../lib/store/key-value/key-value.ts';
import { planText } from '../../../lib/wire/plan-codec.ts';
import { PLAN_PHASES, PLAN_STATES } from '../../../lib/wire/plan-messages.ts';
import type { Plan } from './plan.ts';
import { parsePlan } from './plan-spec.ts';

/** Plans on disk: one record each. */

const PREFIX = 'plan/';
const failure = z.object({ code: z.string(), message: z.string() });
const digest = z.string().refine(isDigest).transform(parseDigest);
const index = z.int().min(0);
const record = z.object({
  id: z.int().min(1),
  key: z.string(),
  text: planText,
  createdAtMs: z.number(),
  finishedAtMs: z.number().exactOptional(),
  state: z.enum(PLAN_STATES),
  phase: z.enum(PLAN_PHASES),
  stage: index,
  batch: index,
  image: index,
  stages: z.array(
    z.object({ batches: z.array(z.array(z.string())), failed: z.array(z.tuple([z.string(), failure])) }),
  ),
  digests: z.array(digest.nullable()),
  job: index.exactOptional(),
  pausedUntilMs: z.number().exactOptional(),
  why: failure.exactOptional(),
});

/** Numbers in the order of their keys. */
export function planRecordKey(id: number): string {
  return PREFIX + String(id).padStart(16, '0');
}

export function encodePlan(plan: Plan): Uint8Array {
  const { digests, spec, stages, ...rest } = plan;
  const told = stages.map(({ batches, failed }) => ({ batches, failed: [...failed] }));
  const found = digests.map((each) => each ?? null);
  return Buffer.from(JSON.stringify({ ...rest, digests: found, stages: told, text: spec.text }));
}

/** The plans of an earlier run, the oldest first; what cannot be read is told and left out. */
export async function readPlans(records: KeyValue, log: Logger): Promise<Plan[]> {
  const plans: Plan[] = [];
  for await (const [key, value] of records.entries(PREFIX)) {
    try {
      const { digests, stages, text, ...rest } = record.parse(JSON.parse(Buffer.from(value).toString()));
      plans.push({
        ...rest,
        spec: parsePlan(text),
        stages: stages.map(({ batches, failed }) => ({ batches, failed: new Map(failed) })),
        digests: digests.map((each) => each ?? undefined),
      });
    } catch (error) {
      log.warn({ key, problem: describeError(error) }, 'the record of a preheat plan cannot be read');
    }
  }
  return plans;
}
