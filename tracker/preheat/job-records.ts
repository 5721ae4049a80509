import { z } from 'zod';
import { isDigest, parseDigest } from '../../lib/core/digest.ts';
import { describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { wishText } from '../../lib/wire/preheat-codec.ts';
import { JOB_STATES } from '../../lib/wire/preheat-messages.ts';
import type { Job } from './job.ts';
import { parseWish } from './wish.ts';

/** Jobs on disk: one record each. Credentials are not part of a job, and so never in a record. */

const PREFIX = 'job/';
const digest = z.string().refine(isDigest).transform(parseDigest);
const failure = z.object({ code: z.string(), message: z.string() });
const record = z.object({
  id: z.int().min(1),
  key: z.string(),
  wish: wishText,
  createdAtMs: z.number(),
  state: z.enum(JOB_STATES),
  startedAtMs: z.number().exactOptional(),
  finishedAtMs: z.number().exactOptional(),
  images: z.array(z.object({ image: z.string(), digest })),
  blobs: z.array(z.object({ digest, size: z.number(), listedBy: z.int().min(0).exactOptional() })),
  manifests: z.array(digest).default([]),
  resolved: z.boolean(),
  batches: z.array(z.array(z.string())),
  batch: z.number(),
  nextBatchAtMs: z.number().exactOptional(),
  targets: z.array(
    z.tuple([
      z.string(),
      z.object({
        state: z.enum(['waiting', 'running', 'done', 'failed']),
        batch: z.number(),
        bytes: z.number(),
        error: failure.exactOptional(),
        goneSinceMs: z.number().exactOptional(),
      }),
    ]),
  ),
  error: failure.exactOptional(),
  credentials: z.enum(['none', 'given', 'lost']),
});

/** Numbers in the order of their keys. */
export function recordKey(id: number): string {
  return PREFIX + String(id).padStart(16, '0');
}

export function encodeJob(job: Job): Uint8Array {
  const { targets, wish, ...rest } = job;
  return Buffer.from(JSON.stringify({ ...rest, wish: wish.text, targets: [...targets] }));
}

/** The jobs of an earlier run, the oldest first; what cannot be read is told and left out. */
export async function readJobs(records: KeyValue, log: Logger): Promise<Job[]> {
  const jobs: Job[] = [];
  for await (const [key, value] of records.entries(PREFIX)) {
    try {
      const { targets, wish, ...rest } = record.parse(JSON.parse(Buffer.from(value).toString()));
      jobs.push({ ...rest, wish: parseWish(wish), targets: new Map(targets) });
    } catch (error) {
      log.warn({ key, problem: describeError(error) }, 'the record of a preheat job cannot be read');
    }
  }
  return jobs;
}
