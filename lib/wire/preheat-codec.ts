import { z } from 'zod';
import { type Digest, isDigest } from '../core/digest.ts';
import { MAX_BLOB_BYTES } from '../core/geometry.ts';
import { planSchemas } from './plan-codec.ts';
import {
  JOB_STATES,
  MAX_AUTHORIZATION_CHARS,
  MAX_LABEL_CHARS,
  MAX_LABELS,
  MAX_PREHEAT_BLOBS,
  MAX_PREHEAT_IMAGES,
  MAX_PREHEAT_MANIFESTS,
  MAX_PREHEAT_PLATFORMS,
  MAX_REASON_CHARS,
  MAX_SHOWN,
  type PreheatMessage,
} from './preheat-messages.ts';

const MAX_TASK_CHARS = 64;
/** A registry's name; a repository or a tag is shorter than what comes with it. */
const MAX_NAME_CHARS = 300;
const MAX_REFERENCE_CHARS = 1024;
const MAX_WISH_CHARS = 256;
const MAX_EVERY_MS = 60_000;
const MAX_LISTED_JOBS = 50;
const MAX_NOTES = 8;
const MAX_TIME_MS = 8.64e15;

const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a digest');
const count = z.int().min(0);
const task = z
  .string()
  .regex(/^[0-9a-z.-]+$/)
  .max(MAX_TASK_CHARS);
const name = z.string().min(1).max(MAX_NAME_CHARS);
const reference = z.string().min(1).max(MAX_REFERENCE_CHARS);
const time = count.max(MAX_TIME_MS);
/** A header value: nothing that could end it. */
const authorization = z
  .string()
  .min(1)
  .max(MAX_AUTHORIZATION_CHARS)
  .regex(/^[ -~]+$/, 'not a header value');
const blob = z.object({
  digest,
  size: count.max(MAX_BLOB_BYTES),
  listedBy: count.max(MAX_PREHEAT_MANIFESTS).exactOptional(),
});
const blobs = z.array(blob).max(MAX_PREHEAT_BLOBS);
const manifests = z.array(digest).max(MAX_PREHEAT_MANIFESTS).exactOptional();
const failure = z.object({
  code: z.string().regex(/^[A-Z_]{1,64}$/),
  message: z.string().max(MAX_REASON_CHARS),
});
const short = z.string().min(1).max(MAX_WISH_CHARS);
const platforms = z.array(short).max(MAX_PREHEAT_PLATFORMS);
const nodeId = z.string().regex(/^[0-9a-f]{40}$/);
const bytes = count.max(Number.MAX_SAFE_INTEGER);

/** A label, or the zone, as it is chosen by: `key=value`. */
const labelText = z
  .string()
  .max(MAX_LABEL_CHARS)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/);

const labels = z.object({
  type: z.literal('labels'),
  labels: z
    .record(labelText, labelText.or(z.literal('')))
    .refine((all) => Object.keys(all).length <= MAX_LABELS, 'too many labels'),
});

const resolve = z.object({
  type: z.literal('preheat-resolve'),
  task,
  upstream: name,
  repository: name,
  reference: reference.exactOptional(),
  tags: short.exactOptional(),
  platforms,
  authorization: authorization.exactOptional(),
});
const resolved = z.object({
  type: z.literal('preheat-resolved'),
  task,
  image: z.object({ reference, digest, blobs, manifests }).exactOptional(),
  more: z.literal(true).exactOptional(),
  error: failure.exactOptional(),
});
const preheat = z.object({
  type: z.literal('preheat'),
  task,
  upstream: name,
  repository: name,
  blobs,
  manifests,
  everyMs: count.max(MAX_EVERY_MS),
  rate: count.min(1).exactOptional(),
  authorization: authorization.exactOptional(),
});
const cancel = z.object({ type: z.literal('preheat-cancel'), task });
const progress = z.object({
  type: z.literal('preheat-progress'),
  task,
  state: z.enum(['running', 'done', 'failed']),
  bytes,
  error: failure.exactOptional(),
});

/** The text of a wish for a job, from wherever it comes. */
export const wishText = z.object({
  image: reference,
  tags: short.optional(),
  platforms: platforms.optional(),
  nodes: short.optional(),
  batch: short.optional(),
  pause: short.optional(),
  rate: short.optional(),
  timeout: short.optional(),
});
const ask = z.object({
  type: z.literal('preheat-ask'),
  ask: count,
  question: z.discriminatedUnion('act', [
    z.object({ act: z.literal('create'), wish: wishText }),
    z.object({ act: z.enum(['get', 'cancel']), id: count }),
    z.object({ act: z.literal('list') }),
  ]),
});

const job = z.object({
  id: count,
  state: z.enum(JOB_STATES),
  image: reference,
  tags: short.exactOptional(),
  nodes: short,
  images: z.array(z.object({ image: reference, digest })).max(MAX_PREHEAT_IMAGES),
  imageBytes: bytes,
  doneBytes: bytes,
  totalBytes: bytes,
  targets: z.object({ total: count, waiting: count, running: count, done: count, failed: count }),
  running: z.array(z.object({ node: nodeId, bytes })).max(MAX_SHOWN),
  failures: z.array(z.object({ node: nodeId, error: failure })).max(MAX_SHOWN),
  batch: count,
  batches: count,
  createdAtMs: time,
  startedAtMs: time.exactOptional(),
  finishedAtMs: time.exactOptional(),
  error: failure.exactOptional(),
  notes: z.array(z.string().max(MAX_REASON_CHARS)).max(MAX_NOTES),
});
const told = z.object({
  type: z.literal('preheat-told'),
  ask: count,
  jobs: z.array(job).max(MAX_LISTED_JOBS),
  error: failure.exactOptional(),
});

/** Of the control protocol, what is about preheating; read by {@link decodeControl}. */
export const preheatSchemas = {
  labels,
  'preheat-resolve': resolve,
  'preheat-resolved': resolved,
  preheat,
  'preheat-cancel': cancel,
  'preheat-progress': progress,
  'preheat-ask': ask,
  'preheat-told': told,
  ...planSchemas,
};

export function isPreheatMessage(message: { readonly type: string }): message is PreheatMessage {
  return message.type in preheatSchemas;
}
