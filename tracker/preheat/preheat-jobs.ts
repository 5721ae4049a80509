import { randomBytes } from 'node:crypto';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo } from '../../lib/core/node.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { preheatFailure } from '../../lib/transfer/preheat/preheat-failure.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import type {
  JobView,
  PreheatMessage,
  PreheatQuestion,
  PreheatWishText,
} from '../../lib/wire/preheat-messages.ts';
import type { TrackerMetrics } from '../metrics.ts';
import { isOver, type Job, viewOf } from './job.ts';
import type { JobList } from './job-list.ts';
import { encodeJob, readJobs, recordKey } from './job-records.ts';
import type { NodeChoice } from './node-choice.ts';
import { PreheatCore } from './preheat-core.ts';
import { RecordKeeper } from './record-keeper.ts';
import { type PreheatWish, parseWish } from './wish.ts';

/** How often time passes for jobs that are not over. */
const TICK_MS = 200;
/** Progress is written that often; what a restart forgets of it is told again by members. */
const SAVE_MS = 1000;
/** In one answer to a member. */
const LISTED_JOBS = 20;

export interface PreheatJobsDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: TrackerMetrics;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** Keeps jobs across restarts. */
  readonly records: KeyValue;
}

export interface PreheatJobsOptions {
  /** For whom jobs are that do not say. */
  readonly defaultNodes: string;
  /** Whether images of this registry may be asked for. */
  readonly allows: (registry: string) => boolean;
}

interface Connected {
  readonly peer: PeerInfo;
  readonly send: (text: string) => void;
}

/** The tracker's preheat jobs: carries out what a {@link PreheatCore} decides, and keeps what must outlive the process. */
export class PreheatJobs {
  readonly #deps: PreheatJobsDeps;
  readonly #options: PreheatJobsOptions;
  readonly #core = new PreheatCore();
  readonly #members = new Map<string, Connected>();
  readonly #records: RecordKeeper<Job>;
  readonly #stops: (() => void)[] = [];
  readonly #counted = new Set<number>();
  /** Told of each job that is over. */
  onOver: (job: Job) => void = () => {};

  private constructor(deps: PreheatJobsDeps, options: PreheatJobsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#records = new RecordKeeper(deps, { what: 'job', keyOf: recordKey, encode: encodeJob });
  }

  /** Goes on with the jobs that are on record. */
  static async open(deps: PreheatJobsDeps, options: PreheatJobsOptions): Promise<PreheatJobs> {
    const jobs = new PreheatJobs(deps, options);
    jobs.#core.load(await readJobs(deps.records, deps.log), deps.wallClockMs());
    for (const job of jobs.#core.jobs.all) if (isOver(job)) jobs.#counted.add(job.id);
    jobs.#stops.push(
      every(deps.clock, TICK_MS, () => {
        if (jobs.#core.busy) jobs.#decide((core, nowMs) => core.tick(nowMs));
      }),
      every(deps.clock, SAVE_MS, () => void jobs.#records.tick({ sync: false })),
    );
    jobs.#decide(() => {});
    return jobs;
  }

  /**
   * Makes a job, or gives the one that is at work on the same.
   * @param authorization for the registry
   * @throws CONFIG_INVALID, REFERENCE_INVALID, UPSTREAM_UNKNOWN, JOB_REFUSED, STORE_*
   */
  async create(text: PreheatWishText, authorization?: string): Promise<JobView> {
    return viewOf(await this.#create(this.wish(text), authorization));
  }

  /**
   * Makes a job of a staged rollout, or gives the one that is at work on it.
   * @param batch its name: numbers and slashes
   * @throws as {@link create}
   */
  async createForPlan(text: PreheatWishText, batch: string, machines: readonly string[]): Promise<Job> {
    return await this.#create(this.#allowed({ ...text, nodes: `plan=${batch}` }), undefined, machines);
  }

  /** The machines of a choice that are connected now, as many from each zone as from the others. */
  choose(nodes: NodeChoice, key: string): readonly string[] {
    return this.#core.choose(nodes, key);
  }

  /** Jobs that are not over. */
  get openCount(): number {
    return this.#core.jobs.openCount;
  }

  /** Numbers that jobs share with staged rollouts. */
  get numbers(): Pick<JobList, 'nextId' | 'reserve'> {
    return this.#core.jobs;
  }

  async #create(
    wish: PreheatWish,
    authorization: string | undefined,
    machines?: readonly string[],
  ): Promise<Job> {
    const key = randomBytes(8).toString('hex');
    const job = this.#decide((core, nowMs) => core.create(wish, key, authorization, nowMs, machines));
    const { id } = job;
    this.#deps.log.info({ job: id, ...wish.text }, 'preheat job');
    // Whoever has its number may ask for it after a restart.
    try {
      await this.#records.save();
    } catch (error) {
      if (job.key === key) this.cancel(id);
      throw error;
    }
    return job;
  }

  /** @throws CONFIG_INVALID, REFERENCE_INVALID, UPSTREAM_UNKNOWN */
  wish(text: PreheatWishText): PreheatWish {
    const wish = this.#allowed(text);
    if (wish.nodes.kind !== 'plan') return wish;
    throw new DamselflyError('CONFIG_INVALID', 'nodes: only the batches of a plan are chosen like that');
  }

  #allowed(text: PreheatWishText): PreheatWish {
    const wish = parseWish(text, this.#options.defaultNodes);
    const { registry } = wish.reference;
    if (this.#options.allows(registry)) return wish;
    const message = `this tracker preheats nothing of ${registry}; see --preheat-registry`;
    throw new DamselflyError('UPSTREAM_UNKNOWN', message, { upstream: registry });
  }

  /** The newest job of the wish that has succeeded within so many milliseconds. */
  succeeded(text: PreheatWishText, withinMs: number): JobView | undefined {
    const job = this.#core.jobs.succeededSince(this.wish(text), this.#deps.wallClockMs() - withinMs);
    return job === undefined ? undefined : viewOf(job);
  }

  get(id: number): JobView | undefined {
    const job = this.#core.jobs.get(id);
    return job === undefined ? undefined : viewOf(job);
  }

  /** The job itself, for a plan. Do not modify. */
  find(id: number): Job | undefined {
    return this.#core.jobs.get(id);
  }

  /** Every machine of a job and how far it is. */
  machines(id: number): readonly { readonly node: string; readonly state: string; readonly bytes: number }[] {
    const targets = this.#core.jobs.get(id)?.targets ?? [];
    return [...targets].map(([node, { bytes, error, state }]) => ({
      ...{ node, state, bytes },
      ...(error === undefined ? {} : { error }),
    }));
  }

  /** The newest first. @param options.ofPlans also those that plans have made. @default true */
  list(most: number, { ofPlans = true }: { readonly ofPlans?: boolean } = {}): JobView[] {
    const { all } = this.#core.jobs;
    const shown = ofPlans ? all : all.filter(({ wish }) => wish.nodes.kind !== 'plan');
    return shown.slice(-most).reverse().map(viewOf);
  }

  /** @returns undefined when there is none of that number */
  cancel(id: number): JobView | undefined {
    const job = this.#decide((core, nowMs) => core.cancel(id, nowMs));
    return job === undefined ? undefined : viewOf(job);
  }

  /** Says something to a member, if it is connected. */
  sendTo(id: string, text: string): void {
    this.#members.get(id)?.send(text);
  }

  joined(peer: PeerInfo, send: (text: string) => void): void {
    this.#members.set(peer.id, { peer, send });
    this.#decide((core, nowMs) => core.joined(peer, nowMs));
  }

  left(id: string): void {
    this.#members.delete(id);
    this.#decide((core, nowMs) => core.left(id, nowMs));
  }

  /** A member says this. @returns false for what only trackers say */
  heard(from: string, message: PreheatMessage): boolean {
    switch (message.type) {
      case 'labels':
        this.#decide((core) => core.labelled(from, message.labels));
        return true;
      case 'preheat-resolved':
      case 'preheat-progress':
        this.#decide((core, nowMs) => core.heard(from, message, nowMs));
        return true;
      case 'preheat-ask':
        void this.#answer(from, message.ask, message.question);
        return true;
      case 'preheat-resolve':
      case 'preheat':
      case 'preheat-cancel':
      case 'preheat-told':
        return false;
      // These are for who has the plans.
      case 'plan-ask':
      case 'plan-told':
        return false;
    }
  }

  /** Writes what is not written, and stops. */
  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
    // A failure was logged; a tracker that stops stops.
    await this.#records.save().catch(() => {});
  }

  async #answer(from: string, ask: number, question: PreheatQuestion): Promise<void> {
    const told = { type: 'preheat-told', ask } as const;
    let answer: Extract<PreheatMessage, { readonly type: 'preheat-told' }>;
    try {
      answer = { ...told, jobs: await this.#asked(question) };
    } catch (error) {
      answer = { ...told, jobs: [], error: preheatFailure(error) };
    }
    this.#members.get(from)?.send(encodeControl(answer));
  }

  async #asked(question: PreheatQuestion): Promise<readonly JobView[]> {
    switch (question.act) {
      case 'create':
        return [await this.create(question.wish)];
      case 'list':
        return this.list(LISTED_JOBS).map((job) => ({ ...job, images: [], running: [], failures: [] }));
      case 'get':
      case 'cancel': {
        const { act, id } = question;
        const job = act === 'get' ? this.get(id) : this.cancel(id);
        if (job !== undefined) return [job];
        throw new DamselflyError('JOB_UNKNOWN', `this tracker has no job ${id}; another one may`);
      }
    }
  }

  #decide<T>(event: (core: PreheatCore, nowMs: number) => T): T {
    const { log, metrics, wallClockMs } = this.#deps;
    const result = event(this.#core, wallClockMs());
    for (const action of this.#core.take()) {
      if (action.kind === 'send') {
        const text = encodeControl(action.message);
        for (const id of action.to) this.#members.get(id)?.send(text);
        continue;
      }
      if (action.kind === 'forgotten') {
        this.#records.note(action.id, undefined);
        this.#counted.delete(action.id);
        continue;
      }
      const { job } = action;
      this.#records.note(job.id, job);
      if (!isOver(job) || this.#counted.has(job.id)) continue;
      this.#counted.add(job.id);
      metrics.preheatJobs.inc({ outcome: job.state });
      const { error, id, state, targets } = job;
      log.info({ job: id, state, error, machines: targets.size }, 'preheat job is over');
      this.onOver(job);
    }
    metrics.preheatOpen.set(this.#core.jobs.openCount);
    return result;
  }
}
