import { DamselflyError } from '../../../lib/core/errors.ts';
import { MAX_REASON_CHARS, type PreheatFailure } from '../../../lib/wire/preheat-messages.ts';
import { isOver, type Job } from '../job.ts';
import { inBatches, type NodeChoice } from '../node-choice.ts';
import { batchOf, chosenSoFar, isPlanOver, newPlan, type Plan } from './plan.ts';
import { allowedFailures, type PlanSpec } from './plan-spec.ts';

/** Plans that run. */
const MAX_RUNNING = 20;
/** Plans that are over and still known, and as many that are stopped: of more the oldest are forgotten. */
const MAX_KEPT = 50;
/** A health URL that does not say yes is asked again so often, so long after: a deployment may be between two pods. */
const HEALTH_ATTEMPTS = 3;
const HEALTH_RETRY_MS = 5_000;
/** Of a health URL in a reason: what is wrong with it has room too. */
const MAX_SHOWN_URL_CHARS = 200;
/** After a restart of the tracker: by then its members have found it again. */
const REUNION_MS = 10_000;

/** What is to be done about what was decided. */
export type PlanAction =
  /** Make a preheat job of the image for these machines, and tell by {@link PlanCore.begun}. */
  | { readonly kind: 'fetch'; readonly plan: Plan; readonly machines: readonly string[] }
  | { readonly kind: 'cancel-job'; readonly job: number }
  /** Answered by {@link PlanCore.healthAnswered}. */
  | { readonly kind: 'ask-health'; readonly plan: Plan; readonly url: URL; readonly question: number }
  | { readonly kind: 'changed'; readonly plan: Plan }
  | { readonly kind: 'forgotten'; readonly id: number };

/** The machines of a choice that are connected now, in the order of their turns. */
export type Choose = (nodes: NodeChoice, key: string) => readonly string[];

/** Of a plan that runs, what only counts while this process does. */
interface Run {
  notBeforeMs: number;
  /** The question that is not answered. */
  asking?: number;
  attempts: number;
  /** The job is ordered, and not known by its number yet. */
  ordered: boolean;
}

/**
 * The decisions of staged rollouts: which machines get which image next, and when a plan waits, stops and ends. Pure:
 * events and the time (milliseconds since the epoch) go in, actions come out. For each batch of each stage: the health
 * URL must say yes, then the images are brought to its machines one after the other, then failures are counted, then
 * there is a pause.
 */
export class PlanCore {
  readonly #choose: Choose;
  readonly #plans = new Map<number, Plan>();
  readonly #runs = new Map<Plan, Run>();
  #questions = 0;
  #actions: PlanAction[] = [];

  constructor(choose: Choose) {
    this.#choose = choose;
  }

  /** What was decided since the last call. */
  take(): PlanAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  /** Plans that this tracker had before its restart, the oldest first. Those that ran go on. */
  load(plans: readonly Plan[], nowMs: number): void {
    for (const plan of plans) {
      this.#plans.set(plan.id, plan);
      if (plan.state === 'running') this.#run(plan, nowMs + REUNION_MS);
    }
  }

  /** The oldest first. */
  get all(): readonly Plan[] {
    return [...this.#plans.values()];
  }

  get(id: number): Plan | undefined {
    return this.#plans.get(id);
  }

  /** Whether something is to be done as time passes. */
  get busy(): boolean {
    return this.#runs.size > 0;
  }

  /** @throws JOB_REFUSED when too many run */
  create(spec: PlanSpec, id: number, key: string, nowMs: number): Plan {
    this.#requireRoom();
    const plan = newPlan(spec, id, key, nowMs);
    this.#plans.set(id, plan);
    this.#run(plan, nowMs);
    this.#changed(plan);
    this.#advance(plan, nowMs);
    return plan;
  }

  /** Somebody stops it: nothing new begins, and the job under way ends. */
  stop(id: number, nowMs: number): Plan | undefined {
    const plan = this.#plans.get(id);
    if (plan?.state === 'running') {
      this.#stop(plan, { code: 'PLAN_STOPPED', message: 'stopped by hand' }, nowMs);
    }
    return plan;
  }

  /**
   * Goes on with the batch at which it was stopped: machines that have everything are through at once.
   * @throws JOB_REFUSED when too many run
   */
  resume(id: number, nowMs: number): Plan | undefined {
    const plan = this.#plans.get(id);
    if (plan?.state !== 'stopped') return plan;
    this.#requireRoom();
    plan.state = 'running';
    delete plan.why;
    this.#run(plan, nowMs);
    if (plan.phase === 'health' || plan.phase === 'fetch') this.#beginBatch(plan);
    this.#changed(plan);
    this.#advance(plan, nowMs);
    return plan;
  }

  cancel(id: number, nowMs: number): Plan | undefined {
    const plan = this.#plans.get(id);
    if (plan !== undefined && !isPlanOver(plan)) this.#end(plan, 'canceled', nowMs);
    return plan;
  }

  /** The job that was ordered has this number. */
  begun(plan: Plan, job: Job, nowMs: number): void {
    const run = this.#runs.get(plan);
    if (run === undefined || plan.phase !== 'fetch') {
      // It was stopped meanwhile.
      if (!isOver(job)) this.#actions.push({ kind: 'cancel-job', job: job.id });
      return;
    }
    run.ordered = false;
    plan.job = job.id;
    this.#changed(plan);
    if (isOver(job)) this.#jobOver(plan, job, nowMs);
  }

  /** The job that was ordered could not be made. */
  refused(plan: Plan, why: PreheatFailure, nowMs: number): void {
    if (this.#runs.has(plan) && plan.phase === 'fetch') this.#stop(plan, why, nowMs);
  }

  /** A job has ended, whosever it is. */
  jobOver(job: Job, nowMs: number): void {
    const plan = [...this.#runs.keys()].find((each) => each.job === job.id);
    if (plan !== undefined) this.#jobOver(plan, job, nowMs);
  }

  /**
   * What was answered to a question that was put before the plan was stopped and resumed counts for nothing.
   * @param problem undefined: it answered 200
   */
  healthAnswered(
    { plan, question }: { readonly plan: Plan; readonly question: number },
    problem: string | undefined,
    nowMs: number,
  ): void {
    const run = this.#runs.get(plan);
    if (run?.asking !== question || plan.phase !== 'health') return;
    delete run.asking;
    if (problem === undefined) {
      plan.phase = 'fetch';
      this.#changed(plan);
      this.#advance(plan, nowMs);
      return;
    }
    run.attempts++;
    run.notBeforeMs = nowMs + HEALTH_RETRY_MS;
    if (run.attempts < HEALTH_ATTEMPTS) return;
    const message = `${plan.spec.health?.href.slice(0, MAX_SHOWN_URL_CHARS)}: ${problem}`;
    this.#stop(plan, { code: 'PLAN_STOPPED', message: message.slice(0, MAX_REASON_CHARS) }, nowMs);
  }

  /** Time passes: to be called a few times a second while {@link busy}. */
  tick(nowMs: number): void {
    for (const plan of [...this.#runs.keys()]) this.#advance(plan, nowMs);
  }

  /** Does what can be done now. */
  #advance(plan: Plan, nowMs: number): void {
    const run = this.#runs.get(plan);
    if (run === undefined || nowMs < run.notBeforeMs) return;
    switch (plan.phase) {
      case 'choose':
        return this.#beginStage(plan, nowMs);
      case 'health': {
        const { health } = plan.spec;
        if (health === undefined || run.asking !== undefined) return;
        run.asking = ++this.#questions;
        this.#actions.push({ kind: 'ask-health', plan, url: health, question: run.asking });
        return;
      }
      case 'fetch':
        if (plan.job === undefined && !run.ordered) this.#fetch(plan, run, nowMs);
        return;
      case 'pause':
        if (nowMs < (plan.pausedUntilMs ?? 0)) return;
        delete plan.pausedUntilMs;
        this.#nextBatch(plan, nowMs);
    }
  }

  #beginStage(plan: Plan, nowMs: number): void {
    const [stage, spec] = [plan.stages[plan.stage], plan.spec.stages[plan.stage]];
    if (stage === undefined || spec === undefined) return this.#end(plan, 'succeeded', nowMs);
    const fitting = this.#choose(spec.nodes, plan.key);
    if (fitting.length === 0) {
      const message = `stage ${spec.name}: no machine that is connected fits`;
      return this.#stop(plan, { code: 'JOB_REFUSED', message }, nowMs);
    }
    const before = chosenSoFar(plan);
    const batches = inBatches(
      fitting.filter((id) => !before.has(id)),
      spec.batch,
    );
    stage.batches = batches;
    plan.batch = 0;
    if (batches.length === 0) {
      // Stages before had all of them.
      plan.stage++;
      this.#changed(plan);
      return this.#beginStage(plan, nowMs);
    }
    this.#beginBatch(plan);
    this.#changed(plan);
    this.#advance(plan, nowMs);
  }

  #beginBatch(plan: Plan): void {
    plan.phase = plan.spec.health === undefined ? 'fetch' : 'health';
    plan.image = 0;
    const failed = plan.stages[plan.stage]?.failed;
    for (const id of batchOf(plan)) failed?.delete(id);
    const run = this.#runs.get(plan);
    if (run !== undefined) run.attempts = 0;
  }

  #fetch(plan: Plan, run: Run, nowMs: number): void {
    const failed = plan.stages[plan.stage]?.failed;
    const machines = batchOf(plan).filter((id) => failed?.has(id) !== true);
    if (machines.length === 0 || plan.image >= plan.spec.text.images.length) {
      return this.#batchOver(plan, nowMs);
    }
    run.ordered = true;
    this.#actions.push({ kind: 'fetch', plan, machines });
  }

  #jobOver(plan: Plan, job: Job, nowMs: number): void {
    delete plan.job;
    plan.digests[plan.image] ??= job.images[0]?.digest;
    const failed = plan.stages[plan.stage]?.failed;
    for (const [id, target] of job.targets) {
      if (target.state !== 'done') failed?.set(id, target.error ?? reasonOf(job));
    }
    if (job.state === 'canceled') {
      return this.#stop(plan, { code: 'PLAN_STOPPED', message: `job ${job.id} was canceled` }, nowMs);
    }
    // It never came to the machines: the image is not there, or the registry is none of ours.
    if (!job.resolved) return this.#stop(plan, reasonOf(job), nowMs);
    const problem = tooManyFailed(plan);
    if (problem !== undefined) return this.#stop(plan, { code: 'PLAN_STOPPED', message: problem }, nowMs);
    plan.image++;
    this.#changed(plan);
    this.#advance(plan, nowMs);
  }

  #batchOver(plan: Plan, nowMs: number): void {
    const isLast =
      plan.stage + 1 >= plan.stages.length &&
      plan.batch + 1 >= (plan.stages[plan.stage]?.batches.length ?? 0);
    const pauseMs = plan.spec.stages[plan.stage]?.pauseMs ?? 0;
    if (isLast) return this.#end(plan, 'succeeded', nowMs);
    plan.phase = 'pause';
    plan.pausedUntilMs = nowMs + pauseMs;
    this.#changed(plan);
    this.#advance(plan, nowMs);
  }

  #nextBatch(plan: Plan, nowMs: number): void {
    plan.batch++;
    if (plan.batch >= (plan.stages[plan.stage]?.batches.length ?? 0)) {
      plan.stage++;
      plan.batch = 0;
      plan.image = 0;
      plan.phase = 'choose';
    } else this.#beginBatch(plan);
    this.#changed(plan);
    this.#advance(plan, nowMs);
  }

  #stop(plan: Plan, why: PreheatFailure, nowMs: number): void {
    plan.state = 'stopped';
    plan.why = why;
    this.#halt(plan);
    this.#changed(plan);
    // A pause goes on while the plan is stopped; it is over when it is resumed later than that.
    if (plan.phase === 'pause') plan.pausedUntilMs ??= nowMs;
    this.#forgetOldest(plan, ({ state }) => state === 'stopped');
  }

  #end(plan: Plan, state: 'succeeded' | 'canceled', nowMs: number): void {
    plan.state = state;
    plan.finishedAtMs = nowMs;
    delete plan.pausedUntilMs;
    delete plan.why;
    this.#halt(plan);
    this.#changed(plan);
    this.#forgetOldest(plan, isPlanOver);
  }

  /** @param latest stays, however old it is */
  #forgetOldest(latest: Plan, among: (plan: Plan) => boolean): void {
    const others = this.all.filter((plan) => plan !== latest && among(plan));
    for (const each of others.slice(0, Math.max(0, others.length + 1 - MAX_KEPT))) {
      this.#plans.delete(each.id);
      this.#actions.push({ kind: 'forgotten', id: each.id });
    }
  }

  #requireRoom(): void {
    if (this.#runs.size < MAX_RUNNING) return;
    const message = `${MAX_RUNNING} plans run already: stop or cancel one (dfget preheat --list)`;
    throw new DamselflyError('JOB_REFUSED', message);
  }

  #halt(plan: Plan): void {
    this.#runs.delete(plan);
    if (plan.job !== undefined) this.#actions.push({ kind: 'cancel-job', job: plan.job });
    delete plan.job;
  }

  #run(plan: Plan, notBeforeMs: number): void {
    this.#runs.set(plan, { notBeforeMs, attempts: 0, ordered: false });
  }

  #changed(plan: Plan): void {
    this.#actions.push({ kind: 'changed', plan });
  }
}

/** @returns undefined when the plan may go on */
function tooManyFailed(plan: Plan): string | undefined {
  const machines = batchOf(plan);
  const failures = plan.stages[plan.stage]?.failed ?? new Map<string, PreheatFailure>();
  const failed = machines.filter((id) => failures.has(id));
  if (failed.length <= allowedFailures(plan.spec.mayFail, machines.length)) return undefined;
  const why = failures.get(failed[0] ?? '')?.message ?? '';
  return `${failed.length} of ${machines.length} machines of the batch failed: ${why}`.slice(
    0,
    MAX_REASON_CHARS,
  );
}

function reasonOf({ error }: Job): PreheatFailure {
  return error ?? { code: 'INTERNAL', message: 'the job did not say why' };
}
