import type { BlobRequest } from '../../core/blob-source.ts';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { PreheatLink, PreheatPort } from '../../discovery/preheat-port.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { isWorthRetrying, type OriginClient } from '../../origin/origin-client.ts';
import { type Clock, delay, every } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { PreheatMessage } from '../../wire/preheat-messages.ts';
import { preheatFailure } from './preheat-failure.ts';
import { PreheatQuestions } from './preheat-questions.ts';
import { type ResolveOrder, resolveImages } from './resolve-images.ts';

type FetchOrder = Extract<PreheatMessage, { readonly type: 'preheat' }>;

/** Tasks of all trackers together; trackers run far fewer jobs at a time. */
const MAX_TASKS = 64;
/** A tracker that waits for longer asks somebody else. */
const RESOLVE_MS = 60_000;
/** The tracker ends its jobs long before that; it may be gone for good. */
const MAX_TASK_MS = 24 * 3_600_000;
const ATTEMPTS = 3;
const FIRST_RETRY_MS = 1000;

export interface PreheatWorkerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'preheatTasks' | 'preheatBytes'>;
  readonly origin: Pick<OriginClient, 'readManifest' | 'readTags'>;
}

export interface PreheatWorkerOptions {
  /** By what trackers can choose this process. */
  readonly labels: Readonly<Record<string, string>>;
  /** Blobs at a time; one on a node, so that what its clients wait for has the line. */
  readonly parallel: number;
  /** Brings a whole blob here. */
  readonly fetch: (request: BlobRequest, options: { readonly signal: AbortSignal }) => Promise<void>;
}

interface Task {
  readonly order: FetchOrder;
  readonly link: PreheatLink;
  readonly ending: AbortController;
  bytes: number;
}

/** A member's part in preheating: resolves images and fetches blobs as its trackers order, and tells how far it is. */
export class PreheatWorker implements PreheatPort {
  /** Asks trackers about jobs, for people on this machine. */
  readonly questions: PreheatQuestions;
  readonly #deps: PreheatWorkerDeps;
  readonly #options: PreheatWorkerOptions;
  /** By tracker and task. */
  readonly #tasks = new Map<string, Task>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #isPaused: (upstream: string) => boolean = () => false;

  constructor(deps: PreheatWorkerDeps, options: PreheatWorkerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.questions = new PreheatQuestions(deps.clock);
  }

  /** Nothing is fetched of these upstreams: the operator has switched the swarm off for them. */
  obeyPause(isPaused: (upstream: string) => boolean): void {
    this.#isPaused = isPaused;
  }

  trackers(links: readonly PreheatLink[]): void {
    this.questions.trackers(links);
  }

  welcomed(link: PreheatLink): void {
    const { labels } = this.#options;
    if (Object.keys(labels).length > 0) link.send({ type: 'labels', labels });
  }

  lost(link: PreheatLink): void {
    this.questions.lost(link);
  }

  heard(link: PreheatLink, message: PreheatMessage): void {
    if (this.#closing.signal.aborted) return;
    switch (message.type) {
      case 'preheat-resolve':
        this.#track(this.#resolve(link, message));
        return;
      case 'preheat':
        this.#begin(link, message);
        return;
      case 'preheat-cancel':
        this.#tasks.get(keyOf(link, message.task))?.ending.abort();
        return;
      case 'preheat-told':
        this.questions.told(message);
        return;
      case 'plan-told':
        this.questions.toldPlans(message);
        return;
      // These are for trackers.
      case 'labels':
      case 'preheat-resolved':
      case 'preheat-progress':
      case 'preheat-ask':
      case 'plan-ask':
    }
  }

  /** Ends what is under way; what was fetched stays. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.questions.close();
    await Promise.all(this.#running);
  }

  #track(run: Promise<void>): void {
    this.#running.add(run);
    void run.finally(() => this.#running.delete(run));
  }

  async #resolve(link: PreheatLink, order: ResolveOrder): Promise<void> {
    const { clock, log, metrics, origin } = this.#deps;
    const { repository, task, upstream } = order;
    const answer = { type: 'preheat-resolved', task } as const;
    try {
      const images = await withDeadline(clock, RESOLVE_MS, this.#closing.signal, (signal) =>
        resolveImages(origin, order, signal),
      );
      metrics.preheatTasks.inc({ outcome: 'resolved' });
      for (const [index, image] of images.entries()) {
        link.send({ ...answer, image, ...(index + 1 < images.length ? { more: true } : {}) });
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      metrics.preheatTasks.inc({ outcome: 'unresolved' });
      log.warn({ task, upstream, repository, error: describeError(error) }, 'an image was not resolved');
      link.send({ ...answer, error: preheatFailure(error) });
    }
  }

  #begin(link: PreheatLink, order: FetchOrder): void {
    const key = keyOf(link, order.task);
    const known = this.#tasks.get(key);
    if (known !== undefined) {
      tell(known, 'running');
      return;
    }
    const task: Task = { order, link, ending: new AbortController(), bytes: 0 };
    const { upstream } = order;
    if (this.#isPaused(upstream)) {
      tell(task, 'failed', new DamselflyError('JOB_REFUSED', `pulls of ${upstream} are paused here`));
      return;
    }
    if (this.#tasks.size >= MAX_TASKS) {
      tell(task, 'failed', new DamselflyError('PEER_BUSY', `${MAX_TASKS} tasks are under way here`));
      return;
    }
    this.#tasks.set(key, task);
    this.#track(this.#run(task).finally(() => this.#tasks.delete(key)));
  }

  async #run(task: Task): Promise<void> {
    const { clock, log, metrics } = this.#deps;
    const { blobs, everyMs, repository, upstream } = task.order;
    const facts = { task: task.order.task, upstream, repository, blobs: blobs.length };
    log.info(facts, 'preheating');
    let told = -1;
    const stopTelling = every(clock, Math.max(everyMs, 100), () => {
      if (task.bytes > told) tell(task, 'running');
      told = task.bytes;
    });
    const closing = AbortSignal.any([this.#closing.signal, task.ending.signal]);
    try {
      await withDeadline(clock, MAX_TASK_MS, closing, (signal) => this.#fetchAll(task, signal));
      metrics.preheatTasks.inc({ outcome: 'done' });
      log.info(facts, 'preheated');
      tell(task, 'done');
    } catch (error) {
      if (closing.aborted) {
        metrics.preheatTasks.inc({ outcome: 'canceled' });
        return;
      }
      metrics.preheatTasks.inc({ outcome: 'failed' });
      log.warn({ ...facts, error: describeError(error) }, 'not preheated');
      tell(task, 'failed', error);
    } finally {
      stopTelling();
    }
  }

  async #fetchAll(task: Task, signal: AbortSignal): Promise<void> {
    const { clock, metrics } = this.#deps;
    const { authorization, blobs, manifests = [], rate, repository, upstream } = task.order;
    const origin = { upstream, repository, ...(authorization === undefined ? {} : { authorization }) };
    const queue = [...blobs];
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const startedMs = clock.now();
    const lane = async (): Promise<void> => {
      for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
        const dueMs = rate === undefined ? 0 : startedMs + (task.bytes / rate) * 1000;
        if (dueMs > clock.now()) await delay(clock, dueMs - clock.now(), either);
        const { digest, listedBy, size } = blob;
        const manifest = listedBy === undefined ? undefined : manifests[listedBy];
        await this.#fetch({ digest, size, origin, listedBy: manifest }, either);
        task.bytes += size;
        metrics.preheatBytes.inc(size);
      }
    };
    try {
      const lanes = rate === undefined ? this.#options.parallel : 1;
      await Promise.all(Array.from({ length: lanes }, lane));
    } catch (error) {
      stop.abort(abortedError(AbortSignal.abort('another blob of it failed')));
      throw error;
    }
  }

  async #fetch(request: BlobRequest, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#options.fetch(request, { signal });
        return;
      } catch (error) {
        if (signal.aborted || attempt >= ATTEMPTS || !isWorthRetrying(error)) throw error;
        await delay(this.#deps.clock, FIRST_RETRY_MS * 2 ** (attempt - 1), signal);
      }
    }
  }
}

/** Each tracker names its tasks by itself. */
function keyOf({ id }: PreheatLink, task: string): string {
  return `${id} ${task}`;
}

function tell({ bytes, link, order }: Task, state: 'running' | 'done' | 'failed', error?: unknown): void {
  const why = error === undefined ? {} : { error: preheatFailure(error) };
  link.send({ type: 'preheat-progress', task: order.task, state, bytes, ...why });
}
