import { z } from 'zod';
import { type Digest, isDigest } from '../core/digest.ts';
import {
  MAX_HEALTH_URL_CHARS,
  MAX_PLAN_IMAGES,
  MAX_PLAN_NAME_CHARS,
  MAX_PLAN_STAGES,
  PLAN_PHASES,
  PLAN_STATES,
} from './plan-messages.ts';
import { MAX_PREHEAT_PLATFORMS, MAX_REASON_CHARS, MAX_SHOWN } from './preheat-messages.ts';

const MAX_IMAGE_CHARS = 1024;
const MAX_WORD_CHARS = 256;
const MAX_LISTED_PLANS = 20;
const MAX_TIME_MS = 8.64e15;

const count = z.int().min(0);
const time = count.max(MAX_TIME_MS);
const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a digest');
const image = z.string().min(1).max(MAX_IMAGE_CHARS);
const word = z.string().min(1).max(MAX_WORD_CHARS);
/** What people write as a number is one. */
const size = z.union([z.string(), z.number()]).transform(String).pipe(word);
const name = z
  .string()
  .min(1)
  .max(MAX_PLAN_NAME_CHARS)
  .regex(/^[^\p{Cc}]+$/u, 'no control characters');
const failure = z.object({
  code: z.string().regex(/^[A-Z_]{1,64}$/),
  message: z.string().max(MAX_REASON_CHARS),
});

/** The text of a plan, from wherever it comes; a field that is not there is no typing mistake to be passed over. */
export const planText = z.strictObject({
  name: name.optional(),
  images: z.array(image).min(1).max(MAX_PLAN_IMAGES),
  platforms: z
    .union([z.array(word).max(MAX_PREHEAT_PLATFORMS), z.literal('all').transform(() => ['all'])])
    .optional(),
  rate: word.optional(),
  timeout: word.optional(),
  gate: z
    .strictObject({ failed: size.optional(), health: z.string().max(MAX_HEALTH_URL_CHARS).optional() })
    .optional(),
  stages: z
    .array(
      z.strictObject({
        name: name.optional(),
        nodes: size,
        batch: size.optional(),
        pause: word.optional(),
      }),
    )
    .min(1)
    .max(MAX_PLAN_STAGES),
});

export const planQuestion = z.discriminatedUnion('act', [
  z.object({ act: z.literal('create'), plan: planText }),
  z.object({ act: z.enum(['get', 'stop', 'resume', 'cancel']), id: count }),
  z.object({ act: z.literal('list') }),
]);

const plan = z.object({
  id: count,
  name: z.string().max(MAX_IMAGE_CHARS),
  state: z.enum(PLAN_STATES),
  phase: z.enum(PLAN_PHASES),
  images: z.array(z.object({ image, digest: digest.exactOptional() })).max(MAX_PLAN_IMAGES),
  stage: count,
  image: count,
  stages: z
    .array(
      z.object({
        name: z.string().max(MAX_WORD_CHARS),
        nodes: word,
        machines: count,
        done: count,
        failed: count,
        batch: count,
        batches: count,
      }),
    )
    .max(MAX_PLAN_STAGES),
  job: count.exactOptional(),
  failures: z.array(z.object({ node: z.string().regex(/^[0-9a-f]{40}$/), error: failure })).max(MAX_SHOWN),
  pausedUntilMs: time.exactOptional(),
  why: failure.exactOptional(),
  createdAtMs: time,
  finishedAtMs: time.exactOptional(),
});

/** Of the control protocol, what is about plans; read by {@link decodeControl}. */
export const planSchemas = {
  'plan-ask': z.object({ type: z.literal('plan-ask'), ask: count, question: planQuestion }),
  'plan-told': z.object({
    type: z.literal('plan-told'),
    ask: count,
    plans: z.array(plan).max(MAX_LISTED_PLANS),
    error: failure.exactOptional(),
  }),
};
