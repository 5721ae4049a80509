import type { Digest } from '../../lib/core/digest.ts';
import {
  type JobState,
  type JobView,
  MAX_SHOWN,
  type PreheatBlob,
  type PreheatFailure,
} from '../../lib/wire/preheat-messages.ts';
import type { PreheatWish } from './wish.ts';

/** How far one machine is. */
export interface Target {
  state: 'waiting' | 'running' | 'done' | 'failed';
  /** Index of its batch. */
  readonly batch: number;
  /** Of the blobs that are there. */
  bytes: number;
  error?: PreheatFailure;
  /** Since then it has not been connected; milliseconds since the epoch. */
  goneSinceMs?: number;
}

/** One order to bring images to machines, from its creation until it is forgotten. Times: milliseconds since the epoch. */
export interface Job {
  readonly id: number;
  /** Random: tasks of it are named by that, since numbers of another tracker mean others. */
  readonly key: string;
  readonly wish: PreheatWish;
  readonly createdAtMs: number;
  state: JobState;
  startedAtMs?: number;
  finishedAtMs?: number;
  /** What the wish stands for, once that is known; together with `blobs`. */
  images: { readonly image: string; readonly digest: PreheatBlob['digest'] }[];
  blobs: PreheatBlob[];
  /** Those that list the blobs. */
  manifests: Digest[];
  resolved: boolean;
  /** Machines, in batches; empty until the image is resolved. */
  batches: string[][];
  /** Which of them is under way. */
  batch: number;
  /** When the next batch begins; absent while one is under way. */
  nextBatchAtMs?: number;
  readonly targets: Map<string, Target>;
  error?: PreheatFailure;
  /** The job came with credentials for the registry: `lost` when a restart took them. They are not here. */
  credentials: 'none' | 'given' | 'lost';
}

const LOST =
  'the tracker was restarted: it had the credentials that came with this job in memory only, and goes on without them';

export function isOver({ state }: Job): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'canceled';
}

/** Name of its task among members. */
export function fetchTask({ key }: Job): string {
  return `${key}.b`;
}

/** Whether the machine is through. */
export function isFinal({ state }: Target): boolean {
  return state === 'done' || state === 'failed';
}

/** The machine is not connected. */
export function markGone(target: Target, nowMs: number): void {
  target.state = 'waiting';
  target.goneSinceMs = nowMs;
}

/** Whether the machine's batch is under way. */
export function isOrdered(job: Job, { batch }: Target): boolean {
  return batch === job.batch;
}

/** Machines of the batch under way that are not through. */
export function pendingIn({ batch, batches, targets }: Job): number {
  return (batches[batch] ?? []).filter((id) => {
    const target = targets.get(id);
    return target !== undefined && !isFinal(target);
  }).length;
}

/** One copy of all blobs, bytes. */
function bytesOf({ blobs }: Job): number {
  return blobs.reduce((sum, { size }) => sum + size, 0);
}

/** As people and drivers see it. */
export function viewOf(job: Job): JobView {
  const { batch, batches, createdAtMs, credentials, error, finishedAtMs, id, images, startedAtMs } = job;
  const { state, targets, wish } = job;
  const count = { total: targets.size, waiting: 0, running: 0, done: 0, failed: 0 };
  const running: { node: string; bytes: number }[] = [];
  const failures: { node: string; error: PreheatFailure }[] = [];
  let doneBytes = 0;
  for (const [node, target] of targets) {
    count[target.state]++;
    doneBytes += target.bytes;
    if (target.state === 'running' && running.length < MAX_SHOWN) running.push({ node, bytes: target.bytes });
    if (target.error !== undefined && failures.length < MAX_SHOWN) {
      failures.push({ node, error: target.error });
    }
  }
  const imageBytes = bytesOf(job);
  return {
    ...{ id, state, image: wish.text.image, nodes: wish.text.nodes, images, imageBytes, doneBytes },
    ...(wish.tags === undefined ? {} : { tags: wish.tags }),
    totalBytes: imageBytes * targets.size,
    ...{ targets: count, running, failures, batches: batches.length },
    batch: Math.min(batch + 1, batches.length),
    createdAtMs,
    ...(startedAtMs === undefined ? {} : { startedAtMs }),
    ...(finishedAtMs === undefined ? {} : { finishedAtMs }),
    ...(error === undefined ? {} : { error }),
    notes: credentials === 'lost' ? [LOST] : [],
  };
}
