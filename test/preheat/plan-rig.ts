import { digestOf } from '../../lib/core/digest.ts';
import type { PlanText } from '../../lib/wire/plan-messages.ts';
import type { Job } from '../../tracker/preheat/job.ts';
import { type Choosable, chooseNodes } from '../../tracker/preheat/node-choice.ts';
import { type Plan, viewOfPlan } from '../../tracker/preheat/plans/plan.ts';
import { PlanCore } from '../../tracker/preheat/plans/plan-core.ts';
import { parsePlan } from '../../tracker/preheat/plans/plan-spec.ts';
import { parseWish } from '../../tracker/preheat/wish.ts';
import { id, MANIFEST } from './core-rig.ts';

export const WEB = 'registry.test/shop/web:v2';
export const API = 'registry.test/shop/api:v2';

/** The core of staged rollouts with a clock by hand; the test is the jobs and the health URL. */
export class PlanRig {
  nowMs = 1_000_000;
  readonly members = new Map<number, Choosable>();
  core = new PlanCore((nodes, key) => chooseNodes(nodes, [...this.members.values()], key));
  /** Health questions that wait for an answer. */
  asked: { readonly plan: Plan; readonly question: number }[] = [];
  forgotten: number[] = [];
  canceled: number[] = [];
  #fetch: { readonly plan: Plan; readonly machines: readonly string[] } | undefined;
  #job: Job | undefined;
  #jobs = 0;
  #made = 0;

  join(numbers: readonly number[], zone = ''): void {
    for (const number of numbers) {
      this.members.set(number, { id: id(number), role: 'node', zone, labels: {} });
    }
  }

  create(text: Partial<PlanText> = {}): Plan {
    const spec = parsePlan({ images: [WEB], stages: [{ nodes: 'all' }], ...text });
    const plan = this.core.create(spec, ++this.#made, 'key', this.nowMs);
    this.collect();
    return plan;
  }

  /** Numbers of the machines that are to be given an image, and which; undefined: nothing is ordered. */
  get fetching(): { readonly image: number; readonly machines: readonly number[] } | undefined {
    const order = this.#fetch;
    if (order === undefined) return undefined;
    const machines = order.machines.map((each) => Number.parseInt(each, 16)).sort((a, b) => a - b);
    return { image: order.plan.image, machines };
  }

  /** The job that was ordered begins. */
  begin(): Job {
    const order = this.#fetch;
    if (order === undefined) throw new Error('nothing is ordered');
    this.#fetch = undefined;
    const job: Job = {
      ...{ id: ++this.#jobs + 100, key: 'k', wish: parseWish({ image: WEB }), createdAtMs: this.nowMs },
      ...{
        state: 'running',
        images: [],
        blobs: [],
        manifests: [],
        resolved: false,
        batch: 0,
        credentials: 'none',
      },
      batches: [[...order.machines]],
      targets: new Map(),
    };
    this.#job = job;
    this.core.begun(order.plan, job, this.nowMs);
    this.collect();
    return job;
  }

  /** It ends: these machines fail, the others have the image. */
  end(failed: readonly number[] = [], job = this.#job ?? this.begin()): void {
    job.resolved = true;
    job.images = [{ image: WEB, digest: MANIFEST }];
    for (const machine of job.batches[0] ?? []) {
      const bad = failed.map(id).includes(machine);
      const error = { code: 'STORE_FULL', message: 'no room' };
      job.targets.set(machine, { state: bad ? 'failed' : 'done', batch: 0, bytes: 1, ...(bad && { error }) });
    }
    job.state = failed.length > 0 ? 'failed' : 'succeeded';
    this.over(job);
  }

  over(job: Job): void {
    this.#job = undefined;
    this.core.jobOver(job, this.nowMs);
    this.collect();
  }

  /** All that is ordered ends well, until the plan does something else. */
  endAll(): void {
    while (this.#fetch !== undefined) this.end();
  }

  health(problem?: string): void {
    for (const asked of this.asked.splice(0)) this.core.healthAnswered(asked, problem, this.nowMs);
    this.collect();
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.core.tick(this.nowMs);
    this.collect();
  }

  do(act: 'stop' | 'resume' | 'cancel', plan: Plan): void {
    this.core[act](plan.id, this.nowMs);
    this.collect();
  }

  /** As after a restart of the tracker. */
  restart(plans: readonly Plan[]): void {
    this.core = new PlanCore((nodes, key) => chooseNodes(nodes, [...this.members.values()], key));
    this.asked = [];
    this.#fetch = undefined;
    this.core.load(plans, this.nowMs);
    this.collect();
  }

  view(plan: Plan) {
    return viewOfPlan(plan);
  }

  collect(): void {
    for (const action of this.core.take()) {
      if (action.kind === 'fetch') this.#fetch = action;
      else if (action.kind === 'ask-health') this.asked.push(action);
      else if (action.kind === 'forgotten') this.forgotten.push(action.id);
      else if (action.kind === 'cancel-job') {
        this.canceled.push(action.job);
        if (this.#job?.id === action.job) this.#job = undefined;
      }
    }
  }
}

export const DIGEST = digestOf(Buffer.from('manifest'));
