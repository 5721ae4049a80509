import type { PreheatOrder } from '../../lib/wire/preheat-messages.ts';
import { fetchTask, type Job } from './job.ts';

/** How often machines tell how far they are: a thousand of them a message each millisecond. */
const LEAST_EVERY_MS = 500;
const MOST_EVERY_MS = 30_000;

type Order<T extends PreheatOrder['type']> = Extract<PreheatOrder, { readonly type: T }>;

/** To one member: what is the image? @param attempt tells its task from those before */
export function resolveOrder({ key, wish }: Job, attempt: number): Order<'preheat-resolve'> {
  const { platforms, reference, tags } = wish;
  const { digest, registry: upstream, repository, tag } = reference;
  const which = tags === undefined ? { reference: digest ?? tag ?? 'latest' } : { tags };
  return {
    ...{ type: 'preheat-resolve', task: `${key}.r${attempt}`, upstream, repository, platforms },
    ...which,
  };
}

/** To the machines of a batch: fetch this. */
export function fetchOrder(job: Job): Order<'preheat'> {
  const { rate, reference } = job.wish;
  return {
    type: 'preheat',
    task: fetchTask(job),
    upstream: reference.registry,
    repository: reference.repository,
    blobs: job.blobs,
    ...(job.manifests.length === 0 ? {} : { manifests: job.manifests }),
    everyMs: Math.min(MOST_EVERY_MS, Math.max(LEAST_EVERY_MS, job.targets.size)),
    ...(rate === undefined ? {} : { rate }),
  };
}
