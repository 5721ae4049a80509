import { randomBytes } from 'node:crypto';
import { DamselflyError } from '../../../lib/core/errors.ts';
import type { Logger } from '../../../lib/observe/log.ts';
import { type Clock, every } from '../../../lib/runtime/clock.ts';
import type { KeyValue } from '../../../lib/store/key-value/key-value.ts';
import { preheatFailure } from '../../../lib/transfer/preheat/preheat-failure.ts';
import { encodeControl } from '../../../lib/wire/control-codec.ts';
import type { PlanMessage, PlanQuestion, PlanText, PlanView } from '../../../lib/wire/plan-messages.ts';
import type { Job } from '../job.ts';
import type { PreheatJobs } from '../preheat-jobs.ts';
import { RecordKeeper } from '../record-keeper.ts';
import { askHealth } from './ask-health.ts';
import { isPlanOver, type Plan, viewOfPlan } from './plan.ts';
import { type PlanAction, PlanCore } from './plan-core.ts';
import { encodePlan, planRecordKey, readPlans } from './plan-records.ts';
import { type PlanSpec, parsePlan } from './plan-spec.ts';

const TICK_MS = 200;
/** In one answer to a member. */
const LISTED_PLANS = 20;

export interface PreheatPlansDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  readonly records: KeyValue;
  readonly jobs: PreheatJobs;
}

export interface PreheatPlansOptions {
  /** Origins, such as `https://prometheus.corp`, whose URLs plans may have asked. */
  readonly health: readonly string[];
}

/** The tracker's staged rollouts: carries out what a {@link PlanCore} decides, and keeps what must outlive the process. */
export class PreheatPlans {
  readonly #deps: PreheatPlansDeps;
  readonly #options: PreheatPlansOptions;
  readonly #core: PlanCore;
  readonly #closing = new AbortController();
  readonly #records: RecordKeeper<Plan>;
  #stopTicking = (): void => {};

  private constructor(deps: PreheatPlansDeps, options: PreheatPlansOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#records = new RecordKeeper(deps, { what: 'plan', keyOf: planRecordKey, encode: encodePlan });
    this.#core = new PlanCore((nodes, key) => deps.jobs.choose(nodes, key));
  }

  /** Goes on with the plans that are on record. */
  static async open(deps: PreheatPlansDeps, options: PreheatPlansOptions): Promise<PreheatPlans> {
    const plans = new PreheatPlans(deps, options);
    const { clock, jobs, log, records } = deps;
    const known = await readPlans(records, log);
    for (const { id } of known) jobs.numbers.reserve(id);
    plans.#decide((core, nowMs) => core.load(known, nowMs));
    jobs.onOver = (job) => plans.#decide((core, nowMs) => core.jobOver(job, nowMs));
    // Jobs may have ended, or been forgotten, without the plan's record saying so.
    for (const plan of known) plans.#rejoin(plan);
    plans.#endJobsOfOthers();
    plans.#stopTicking = every(clock, TICK_MS, () => {
      if (plans.#core.busy) plans.#decide((core, nowMs) => core.tick(nowMs));
      // A plan changes a few times a minute.
      void plans.#records.tick({ sync: true });
    });
    return plans;
  }

  /** @throws CONFIG_INVALID, REFERENCE_INVALID, UPSTREAM_UNKNOWN, JOB_REFUSED, STORE_* */
  async create(text: PlanText): Promise<PlanView> {
    const spec = this.#checked(text);
    const key = randomBytes(8).toString('hex');
    const id = this.#deps.jobs.numbers.nextId();
    const plan = this.#decide((core, nowMs) => core.create(spec, id, key, nowMs));
    this.#deps.log.info({ plan: id, name: spec.name, stages: spec.stages.length }, 'preheat plan');
    try {
      await this.#records.save();
    } catch (error) {
      this.#decide((core, nowMs) => core.cancel(id, nowMs));
      throw error;
    }
    return viewOfPlan(plan);
  }

  /** The newest first. */
  list(most: number): PlanView[] {
    return this.#core.all.slice(-most).reverse().map(viewOfPlan);
  }

  get(id: number): PlanView | undefined {
    const plan = this.#core.get(id);
    return plan === undefined ? undefined : viewOfPlan(plan);
  }

  /**
   * What is asked for outlives the process when the answer is there.
   * @returns undefined when there is none of that number
   * @throws PLAN_STOPPED when it is over, STORE_* when that could not be noted
   */
  async change(id: number, act: 'stop' | 'resume' | 'cancel'): Promise<PlanView | undefined> {
    const before = this.#core.get(id);
    if (before !== undefined && isPlanOver(before) && act !== 'cancel') {
      throw new DamselflyError(
        'PLAN_STOPPED',
        `plan ${id} is over: it ${before.state === 'canceled' ? 'was canceled' : 'has succeeded'}`,
      );
    }
    const plan = this.#decide((core, nowMs) => core[act](id, nowMs));
    if (plan === undefined) return undefined;
    this.#deps.log.info({ plan: id, act }, 'preheat plan: somebody asks');
    await this.#records.save();
    return viewOfPlan(plan);
  }

  /** A member says this. @returns false for what only trackers say */
  heard(from: string, message: PlanMessage): boolean {
    if (message.type === 'plan-told') return false;
    void this.#answer(from, message.ask, message.question);
    return true;
  }

  /** Writes what is not written, and stops. */
  async close(): Promise<void> {
    this.#stopTicking();
    this.#closing.abort();
    this.#deps.jobs.onOver = () => {};
    await this.#records.save().catch(() => {});
  }

  /** @throws CONFIG_INVALID, REFERENCE_INVALID, UPSTREAM_UNKNOWN */
  #checked(text: PlanText): PlanSpec {
    const spec = parsePlan(text);
    for (const [index, image] of text.images.entries()) {
      try {
        this.#deps.jobs.wish({ image });
      } catch (error) {
        if (!(error instanceof DamselflyError)) throw error;
        throw new DamselflyError(error.code, `images[${index}]: ${error.message}`, error.facts);
      }
    }
    const { health } = spec;
    if (health === undefined || this.#mayAsk(health)) return spec;
    const message = `gate.health: this tracker asks nothing of ${health.origin}; see --preheat-health`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }

  #mayAsk({ origin }: URL): boolean {
    return this.#options.health.includes(origin);
  }

  #rejoin(plan: Plan): void {
    if (plan.state !== 'running' || plan.job === undefined) return;
    const job = this.#deps.jobs.find(plan.job);
    // One that is at work is told of when it is over.
    if (job === undefined) delete plan.job;
    else if (job.finishedAtMs !== undefined) this.#decide((core, nowMs) => core.jobOver(job, nowMs));
  }

  /** A kill may have come after a stop was on record, or before its plan was, with the job at work still. */
  #endJobsOfOthers(): void {
    const { jobs } = this.#deps;
    for (const { finishedAtMs, id, nodes } of jobs.list(Number.MAX_SAFE_INTEGER)) {
      const [, plan] = /^plan=(\d+)\//.exec(nodes) ?? [];
      if (plan === undefined || finishedAtMs !== undefined) continue;
      if (this.#core.get(Number(plan))?.state !== 'running') jobs.cancel(id);
    }
  }

  async #answer(from: string, ask: number, question: PlanQuestion): Promise<void> {
    const told = { type: 'plan-told', ask } as const;
    let answer: Extract<PlanMessage, { readonly type: 'plan-told' }>;
    try {
      answer = { ...told, plans: await this.#asked(question) };
    } catch (error) {
      answer = { ...told, plans: [], error: preheatFailure(error) };
    }
    this.#deps.jobs.sendTo(from, encodeControl(answer));
  }

  async #asked(question: PlanQuestion): Promise<readonly PlanView[]> {
    switch (question.act) {
      case 'create':
        return [await this.create(question.plan)];
      case 'list':
        return this.list(LISTED_PLANS).map((plan) => ({ ...plan, failures: [] }));
      case 'get':
      case 'stop':
      case 'resume':
      case 'cancel': {
        const { act, id } = question;
        const plan = act === 'get' ? this.get(id) : await this.change(id, act);
        if (plan !== undefined) return [plan];
        throw new DamselflyError('JOB_UNKNOWN', `this tracker has no plan ${id}; another one may`);
      }
    }
  }

  #decide<T>(event: (core: PlanCore, nowMs: number) => T): T {
    const { jobs, log, wallClockMs } = this.#deps;
    const result = event(this.#core, wallClockMs());
    for (const action of this.#core.take()) {
      switch (action.kind) {
        case 'fetch':
          void this.#fetch(action.plan, action.machines);
          break;
        case 'cancel-job':
          jobs.cancel(action.job);
          break;
        case 'ask-health':
          void this.#ask(action);
          break;
        case 'forgotten':
          this.#records.note(action.id, undefined);
          break;
        case 'changed': {
          const { id, state, why } = action.plan;
          this.#records.note(id, action.plan);
          if (state !== 'running') log.info({ plan: id, state, why }, 'preheat plan does not run');
        }
      }
    }
    return result;
  }

  async #fetch(plan: Plan, machines: readonly string[]): Promise<void> {
    const { platforms, rate, timeout } = plan.spec.text;
    const batch = `${plan.id}/${plan.stage + 1}/${plan.batch + 1}`;
    let job: Job;
    try {
      job = await this.#deps.jobs.createForPlan(
        { image: imageOf(plan), platforms, rate, timeout },
        batch,
        machines,
      );
    } catch (error) {
      this.#decide((core, nowMs) => core.refused(plan, preheatFailure(error), nowMs));
      return;
    }
    this.#decide((core, nowMs) => core.begun(plan, job, nowMs));
  }

  async #ask({ plan, question, url }: Extract<PlanAction, { readonly kind: 'ask-health' }>): Promise<void> {
    // The settings may be others than when the plan was made.
    const problem = this.#mayAsk(url)
      ? await askHealth(this.#deps.clock, url, this.#closing.signal)
      : 'this tracker may not ask it; see --preheat-health';
    if (this.#closing.signal.aborted) return;
    this.#decide((core, nowMs) => core.healthAnswered({ plan, question }, problem, nowMs));
  }
}

/** The image under way; by its digest once that is known, so that a tag that moves does not split the rollout. */
function imageOf({ digests, image, spec }: Plan): string {
  const [text = '', digest] = [spec.text.images[image], digests[image]];
  if (digest === undefined || text.includes('@')) return text;
  const named = text.lastIndexOf(':') > text.lastIndexOf('/') ? text.slice(0, text.lastIndexOf(':')) : text;
  return `${named}@${digest}`;
}
