import { DamselflyError, describeError, hasCode } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import type { Rng } from '../../lib/runtime/rng.ts';
import type { TrackerMetrics } from '../metrics.ts';
import type { PreheatJobs } from '../preheat/preheat-jobs.ts';
import { connectKubernetes, type KubernetesAccess } from './api-server.ts';
import { followList } from './follow-list.ts';
import { WantedImages } from './wanted-images.ts';
import { readWorkload, type WantedImage, type Workload } from './workload.ts';

/** Of apps/v1. */
export const WATCHED_KINDS = ['deployments', 'daemonsets', 'statefulsets'] as const;
/** What was brought within this time is not brought again: the tracker may only have been restarted. */
const STILL_THERE_MS = 24 * 3_600_000;
/** Images that wait for a job; a cluster that wants more at once is told. */
const MAX_WAITING = 10_000;
/** While so many jobs are not over no more are made of workloads: people, webhooks and plans need room too. */
const MOST_OPEN = 100;
/** When the tracker has too many jobs, it is asked again. */
const RETRY_MS = 30_000;
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Which workloads are watched. */
export interface KubernetesScope {
  /** Empty: all, of which those count that are annotated. */
  readonly namespaces: readonly string[];
}

export interface KubernetesOptions extends KubernetesScope {
  /** @default the API server of the cluster that this process is a pod of */
  readonly api?: string | undefined;
  /** Folder of the service account. @default where Kubernetes puts that of a pod */
  readonly account?: string | undefined;
}

export interface KubernetesDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly metrics: Pick<TrackerMetrics, 'kubernetesLists' | 'preheatEvents'>;
  readonly jobs: Pick<PreheatJobs, 'create' | 'succeeded' | 'openCount'>;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface KubernetesWatch {
  /** For `/readyz`: what is wrong with it now. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/**
 * Makes a preheat job of each image that a workload of a Kubernetes cluster newly asks for.
 * @throws CONFIG_INVALID when nobody says where the API server is
 */
export function watchKubernetes(deps: KubernetesDeps, options: KubernetesOptions): KubernetesWatch {
  const { clock, log, metrics } = deps;
  const access: KubernetesAccess = {
    url: options.api ?? apiOfThisCluster(deps.env ?? process.env),
    account: options.account ?? ACCOUNT,
  };
  const { namespaces } = options;
  const closing = new AbortController();
  const images = new WantedImages();
  const problems = new Map<string, string>();
  const waiting = new Map<string, WantedImage>();
  let wake = (): void => {};

  const want = (fresh: readonly WantedImage[]): void => {
    for (const image of fresh) {
      if (waiting.size < MAX_WAITING) waiting.set(`${image.image} ${image.nodes ?? ''}`, image);
      else metrics.preheatEvents.inc({ outcome: 'dropped' });
    }
    if (fresh.length > 0) wake();
  };
  const follow = (path: string): Promise<void> =>
    followList<Workload>(
      { ...deps, connect: () => connectKubernetes(access) },
      path,
      {
        read: (object) => readWorkload(object, namespaces.length > 0),
        listed: (all) => want(images.listed(path, all)),
        changed: (workload) => want(images.changed(path, workload)),
        gone: ({ uid }) => images.gone(path, uid),
        state(problem) {
          if (problem === undefined) problems.delete(path);
          else {
            if (problems.get(path) !== problem) log.warn({ path, problem }, 'Kubernetes is not watched');
            problems.set(path, problem);
          }
          metrics.kubernetesLists.set(paths.length - problems.size);
        },
      },
      closing.signal,
    );

  /** One after the other: what asks for many images at once is no reason to be refused. */
  const makeJobs = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      const [first] = waiting;
      if (first === undefined) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
        continue;
      }
      const [key, image] = first;
      if (await isTaken(deps, image)) waiting.delete(key);
      else await delay(clock, RETRY_MS, closing.signal).catch(() => {});
    }
  };

  const prefixes = namespaces.length === 0 ? [''] : namespaces.map((name) => `namespaces/${name}/`);
  const paths = prefixes.flatMap((prefix) => WATCHED_KINDS.map((kind) => `/apis/apps/v1/${prefix}${kind}`));
  for (const path of paths) problems.set(path, 'not read yet');
  metrics.kubernetesLists.set(0);
  const running = Promise.all([...paths.map(follow), makeJobs()]);
  return {
    get notes() {
      const [problem] = problems;
      const notes = images.isFull ? ['kubernetes: more workloads than are kept in mind'] : [];
      if (problem === undefined) return notes;
      return [...notes, `kubernetes: ${problem[0]} is not watched: ${problem[1]}`];
    },
    async close() {
      closing.abort();
      wake();
      await running;
    },
  };
}

/** @returns false: ask again later */
async function isTaken({ jobs, log, metrics }: KubernetesDeps, wish: WantedImage): Promise<boolean> {
  const { preheatEvents } = metrics;
  try {
    if (jobs.succeeded(wish, STILL_THERE_MS) !== undefined) {
      preheatEvents.inc({ outcome: 'ignored' });
      return true;
    }
    if (jobs.openCount >= MOST_OPEN) return false;
    await jobs.create(wish);
    preheatEvents.inc({ outcome: 'job' });
    return true;
  } catch (error) {
    if (hasCode(error, 'JOB_REFUSED') || hasCode(error, 'STORE_FAILED')) return false;
    preheatEvents.inc({ outcome: 'dropped' });
    log.warn({ ...wish, problem: describeError(error) }, 'an image of a workload is not preheated');
    return true;
  }
}

/** As Kubernetes tells its pods. */
function apiOfThisCluster(env: Readonly<Record<string, string | undefined>>): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (host === undefined || host === '') {
    const message = 'this process is no pod (KUBERNETES_SERVICE_HOST is not set): say --kubernetes-api';
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
