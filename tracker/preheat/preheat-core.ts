import { rendezvousRank } from '../../lib/core/rendezvous.ts';
import {
  MAX_PREHEAT_BLOBS,
  MAX_PREHEAT_IMAGES,
  type PreheatFailure,
  type PreheatOrder,
  type PreheatReport,
} from '../../lib/wire/preheat-messages.ts';
import { fetchTask, isFinal, isOrdered, isOver, type Job, markGone, pendingIn } from './job.ts';
import { JobList } from './job-list.ts';
import { type Choosable, chooseNodes, inBatches, type NodeChoice } from './node-choice.ts';
import { OrderTurns } from './order-turns.ts';
import { fetchOrder, resolveOrder } from './orders.ts';
import type { PreheatAction } from './preheat-action.ts';
import { addImage, forgetImages } from './resolved-images.ts';
import { type PreheatWish, wishKey } from './wish.ts';

/** Jobs that run at a time; the others wait in the order in which they came. */
const MAX_RUNNING = 4;
/** A machine that is not connected may be restarting; so may this tracker, whose members then come one by one. */
const GONE_MS = 60_000;
/** Whoever resolves an image answers within this time, or another one is asked. */
const RESOLVE_MS = 75_000;
/** A notification may come before the manifest can be read. */
const RESOLVE_ATTEMPTS = 5;
const FIRST_RETRY_MS = 100;
/** Answers that another attempt does not change. */
const FINAL: ReadonlySet<string> = new Set(['UPSTREAM_UNKNOWN', 'REFERENCE_INVALID', 'CONFIG_INVALID']);
/** After a restart of the tracker: by then its members have found it again. */
const REUNION_MS = 10_000;

/** Of a job that runs, what only counts while it does. */
interface Run {
  /** When it began, or went on after a restart of the tracker. */
  readonly sinceMs: number;
  /** Who resolves the image, under which task, and until when it may take. */
  resolving?: { readonly member: string; readonly task: string; readonly untilMs: number };
  attempts: number;
  /** Nobody is asked to resolve before. */
  notBeforeMs: number;
  /** Machines of the batch under way that are not through. */
  pending: number;
}

type Resolved = Extract<PreheatReport, { readonly type: 'preheat-resolved' }>;
type Progress = Extract<PreheatReport, { readonly type: 'preheat-progress' }>;

/**
 * The decisions of preheating: which jobs run, who resolves an image, which machines get which orders when, and what
 * becomes of a job. Pure: events and the time (milliseconds since the epoch) go in, actions come out.
 */
export class PreheatCore {
  readonly #members = new Map<string, Choosable>();
  readonly #jobs = new JobList();
  readonly #runs = new Map<Job, Run>();
  /** Credentials for the registry, of jobs that are not over. They leave memory only for members. */
  readonly #secrets = new Map<Job, string>();
  readonly #turns = new OrderTurns();
  #actions: PreheatAction[] = [];

  /** What was decided since the last call. */
  take(): PreheatAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  /** Jobs that this tracker had before its restart, the oldest first. Those not over go on, without their credentials. */
  load(jobs: readonly Job[], nowMs: number): void {
    this.#jobs.load(jobs);
    for (const job of this.#jobs.open) {
      if (job.credentials === 'given') job.credentials = 'lost';
      if (job.state !== 'running') continue;
      const run = this.#begin(job, nowMs);
      run.notBeforeMs = nowMs + REUNION_MS;
      for (const target of job.targets.values()) if (!isFinal(target)) markGone(target, nowMs);
      if (job.resolved) run.pending = pendingIn(job);
    }
  }

  /** Whether something is to be done as time passes. */
  get busy(): boolean {
    return this.#jobs.openCount > 0;
  }

  get jobs(): Pick<JobList, 'all' | 'get' | 'openCount' | 'succeededSince' | 'nextId' | 'reserve'> {
    return this.#jobs;
  }

  /** The machines of a choice that are connected now. */
  choose(nodes: NodeChoice, key: string): string[] {
    return chooseNodes(nodes, [...this.#members.values()], key);
  }

  /**
   * Makes a job. A wish that a job is still at work on is that job, which then uses the newer credentials.
   * @param key random, 16 hex digits
   * @param machines chosen already. @default as the wish says
   * @throws JOB_REFUSED when too many are not over
   */
  create(
    wish: PreheatWish,
    key: string,
    authorization: string | undefined,
    nowMs: number,
    machines?: readonly string[],
  ): Job {
    const { isNew, job } = this.#jobs.make(wish, key, nowMs, machines);
    if (authorization !== undefined) {
      this.#secrets.set(job, authorization);
      job.credentials = 'given';
    }
    if (isNew || authorization !== undefined) this.#changed(job);
    if (isNew) this.#advance(nowMs);
    return job;
  }

  /** Ends the job, if it is not over. */
  cancel(id: number, nowMs: number): Job | undefined {
    const job = this.#jobs.get(id);
    if (job !== undefined && !isOver(job)) this.#end(job, 'canceled', nowMs);
    return job;
  }

  joined(member: Omit<Choosable, 'labels'>, nowMs: number): void {
    const known = { ...member, labels: {} };
    this.#members.set(member.id, known);
    for (const [job, run] of this.#runs) {
      const target = job.targets.get(member.id);
      if (target === undefined) this.#addIfWanted(job, run, known);
      else if (!isFinal(target) && isOrdered(job, target)) {
        // It may know nothing of it any more; if it does, it goes on with what it has.
        this.#order(job, [member.id]);
      }
    }
    // All else can wait for time to pass: members come by the thousand after a restart.
    for (const [job, run] of [...this.#runs]) if (!job.resolved) this.#resolve(job, run, nowMs);
  }

  /** What a member can be chosen by, which it tells once it has joined. */
  labelled(id: string, labels: Readonly<Record<string, string>>): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    const known = { ...member, labels };
    this.#members.set(id, known);
    for (const [job, run] of this.#runs) if (!job.targets.has(id)) this.#addIfWanted(job, run, known);
  }

  left(id: string, nowMs: number): void {
    this.#members.delete(id);
    for (const [job, run] of this.#runs) {
      if (run.resolving?.member === id) this.#resolveAgain(run, nowMs);
      const target = job.targets.get(id);
      if (target !== undefined && !isFinal(target)) markGone(target, nowMs);
    }
  }

  /** A member tells what came of an order. */
  heard(from: string, report: PreheatReport, nowMs: number): void {
    const [key = ''] = report.task.split('.');
    const job = this.#jobs.withKey(key);
    const run = job === undefined ? undefined : this.#runs.get(job);
    if (job === undefined || run === undefined) return;
    if (report.type === 'preheat-progress') this.#progressed(job, run, from, report, nowMs);
    else if (run.resolving?.member === from && run.resolving.task === report.task) {
      this.#resolved(job, run, report, nowMs);
    }
  }

  /** Time passes: to be called a few times a second while {@link busy}. */
  tick(nowMs: number): void {
    this.#turns.refill();
    for (const job of this.#runs.keys()) this.#sendOrders(job);
    this.#advance(nowMs);
  }

  /** Does what can be done now. */
  #advance(nowMs: number): void {
    const waiting = this.#runs.size < MAX_RUNNING ? this.#jobs.open : [];
    for (const job of waiting) {
      if (this.#runs.size >= MAX_RUNNING) break;
      if (this.#runs.has(job)) continue;
      job.state = 'running';
      job.startedAtMs = nowMs;
      this.#begin(job, nowMs);
      this.#changed(job);
    }
    for (const [job, run] of [...this.#runs]) {
      if (nowMs - (job.startedAtMs ?? nowMs) > job.wish.timeoutMs) {
        this.#fail(job, 'JOB_TIMEOUT', `not done after ${job.wish.timeoutMs / 1000} s`, nowMs);
      } else if (!job.resolved) this.#resolve(job, run, nowMs);
      else {
        this.#giveUpGone(job, run, nowMs);
        if (run.pending === 0) this.#nextBatch(job, run, nowMs);
      }
    }
  }

  #begin(job: Job, nowMs: number): Run {
    const run = { sinceMs: nowMs, attempts: 0, notBeforeMs: nowMs, pending: 0 };
    this.#runs.set(job, run);
    return run;
  }

  #resolve(job: Job, run: Run, nowMs: number): void {
    if (run.resolving !== undefined) {
      if (nowMs > run.resolving.untilMs) this.#resolveAgain(run, nowMs);
      return;
    }
    if (nowMs < run.notBeforeMs) return;
    const members = [...this.#members.values()];
    const supernodes = members.filter(({ role }) => role === 'supernode');
    const ranked = rendezvousRank(job.key, supernodes.length > 0 ? supernodes : members);
    const member = ranked[run.attempts % Math.max(1, ranked.length)]?.id;
    if (member === undefined) {
      if (nowMs - run.sinceMs > GONE_MS) {
        this.#fail(job, 'JOB_REFUSED', 'no supernode and no node is connected to this tracker', nowMs);
      }
      return;
    }
    const order = resolveOrder(job, run.attempts);
    run.resolving = { member, task: order.task, untilMs: nowMs + RESOLVE_MS };
    // What an attempt before this one told in part is told again.
    forgetImages(job);
    this.#send([member], { ...order, ...this.#secretOf(job) });
  }

  #resolveAgain(run: Run, nowMs: number): void {
    delete run.resolving;
    run.notBeforeMs = nowMs + FIRST_RETRY_MS * 2 ** run.attempts;
    run.attempts++;
  }

  #resolved(job: Job, run: Run, { error, image, more }: Resolved, nowMs: number): void {
    if (error !== undefined || image === undefined) {
      const why = error ?? { code: 'INTERNAL', message: 'the image was not resolved' };
      if (FINAL.has(why.code) || run.attempts + 1 >= RESOLVE_ATTEMPTS) {
        this.#end(job, 'failed', nowMs, why);
      } else this.#resolveAgain(run, nowMs);
      return;
    }
    addImage(job, image);
    if (job.images.length > MAX_PREHEAT_IMAGES || job.blobs.length > MAX_PREHEAT_BLOBS) {
      this.#fail(job, 'REFERENCE_INVALID', 'too many images or blobs for one job', nowMs);
      return;
    }
    if (more === true) return;
    delete run.resolving;
    job.resolved = true;
    const { batch, nodes, text } = job.wish;
    if (nodes.kind !== 'plan') job.batches = inBatches(this.choose(nodes, wishKey(job.wish)), batch);
    for (const [index, ids] of job.batches.entries()) {
      for (const id of ids) job.targets.set(id, { state: 'waiting', batch: index, bytes: 0 });
    }
    if (job.targets.size === 0) {
      this.#fail(job, 'JOB_REFUSED', `no machine that is connected fits "${text.nodes}"`, nowMs);
      return;
    }
    job.batch = -1;
    this.#nextBatch(job, run, nowMs);
  }

  /** The batch under way is through: after the pause the next one begins, or the job ends. */
  #nextBatch(job: Job, run: Run, nowMs: number): void {
    const next = job.batch + 1;
    if (next >= job.batches.length) {
      const failed = [...job.targets.values()].filter(({ state }) => state === 'failed');
      if (failed.length === 0) this.#end(job, 'succeeded', nowMs);
      else {
        const why = failed[0]?.error?.message ?? '';
        const message = `${failed.length} of ${job.targets.size} machines failed: ${why}`;
        this.#fail(job, failed[0]?.error?.code ?? 'INTERNAL', message, nowMs);
      }
      return;
    }
    if (next > 0 && job.wish.pauseMs > 0) {
      job.nextBatchAtMs ??= nowMs + job.wish.pauseMs;
      if (nowMs < job.nextBatchAtMs) return;
      delete job.nextBatchAtMs;
    }
    job.batch = next;
    run.pending = pendingIn(job);
    const ids = job.batches[next] ?? [];
    for (const id of ids.filter((each) => !this.#members.has(each))) {
      const target = job.targets.get(id);
      if (target !== undefined) markGone(target, nowMs);
    }
    this.#order(
      job,
      ids.filter((each) => this.#members.has(each)),
    );
    this.#changed(job);
  }

  /** A job for all that fit is also for those that come while it runs. */
  #addIfWanted(job: Job, run: Run, member: Choosable): void {
    const { nodes } = job.wish;
    const open = nodes.kind === 'all' || nodes.kind === 'zone' || nodes.kind === 'label';
    const batch = job.batches[job.batch];
    if (!open || batch === undefined || chooseNodes(nodes, [member], job.key).length === 0) return;
    batch.push(member.id);
    job.targets.set(member.id, { state: 'waiting', batch: job.batch, bytes: 0 });
    run.pending++;
    this.#order(job, [member.id]);
  }

  #order(job: Job, ids: readonly string[]): void {
    this.#turns.add(job, ids);
    this.#sendOrders(job);
  }

  #sendOrders(job: Job): void {
    const ids = this.#turns.take(job);
    if (ids.length === 0) return;
    this.#send(ids, { ...fetchOrder(job), ...this.#secretOf(job) });
    this.#changed(job);
  }

  #progressed(job: Job, run: Run, from: string, { bytes, error, state }: Progress, nowMs: number): void {
    const target = job.targets.get(from);
    if (target === undefined || isFinal(target) || !isOrdered(job, target)) return;
    target.bytes = bytes;
    target.state = state;
    delete target.goneSinceMs;
    if (state === 'failed') target.error = error ?? { code: 'INTERNAL', message: 'it did not say why' };
    this.#changed(job);
    if (!isFinal(target)) return;
    run.pending--;
    if (run.pending === 0) this.#nextBatch(job, run, nowMs);
  }

  #giveUpGone(job: Job, run: Run, nowMs: number): void {
    for (const [id, target] of job.targets) {
      if (target.goneSinceMs === undefined || nowMs - target.goneSinceMs <= GONE_MS) continue;
      if (!isOrdered(job, target)) continue;
      run.pending--;
      delete target.goneSinceMs;
      this.#changed(job);
      if (job.wish.nodes.kind === 'supernodes' && job.targets.size > 1) {
        // What it owned, others own: they have the same order again, and skip what they have.
        job.targets.delete(id);
        job.batches = job.batches.map((batch) => batch.filter((each) => each !== id));
        const others = (job.batches[job.batch] ?? []).filter((each) => this.#members.has(each));
        for (const each of others) {
          const other = job.targets.get(each);
          if (other === undefined || !isFinal(other)) continue;
          delete other.error;
          run.pending++;
        }
        this.#order(job, others);
        continue;
      }
      target.state = 'failed';
      target.error = { code: 'PEER_UNREACHABLE', message: 'the machine has gone' };
    }
  }

  #fail(job: Job, code: string, message: string, nowMs: number): void {
    this.#end(job, 'failed', nowMs, { code, message });
  }

  #end(job: Job, state: Job['state'], nowMs: number, error?: PreheatFailure): void {
    const resolver = this.#runs.get(job)?.resolving?.member;
    const running = [...job.targets].flatMap(([id, target]) => (target.state === 'running' ? [id] : []));
    // Whoever came back and waits for the order may be at work on it all the time.
    const working = [...new Set([...running, ...this.#turns.forget(job)])];
    if (working.length > 0) this.#send(working, { type: 'preheat-cancel', task: fetchTask(job) });
    if (resolver !== undefined && error === undefined) job.images = [];
    job.state = state;
    job.finishedAtMs = nowMs;
    if (error !== undefined) job.error = error;
    delete job.nextBatchAtMs;
    this.#runs.delete(job);
    this.#secrets.delete(job);
    this.#changed(job);
    for (const id of this.#jobs.over(job)) this.#actions.push({ kind: 'forgotten', id });
  }

  #secretOf(job: Job): { readonly authorization?: string } {
    const authorization = this.#secrets.get(job);
    return authorization === undefined ? {} : { authorization };
  }

  #send(to: readonly string[], message: PreheatOrder): void {
    if (to.length > 0) this.#actions.push({ kind: 'send', to, message });
  }

  #changed(job: Job): void {
    this.#actions.push({ kind: 'changed', job });
  }
}
