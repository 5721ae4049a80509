import { DamselflyError } from '../../lib/core/errors.ts';
import { isOver, type Job } from './job.ts';
import { type PreheatWish, wishKey } from './wish.ts';

/** Jobs that are not over. */
const MAX_OPEN = 1000;
/** Jobs that are over and still known. */
const MAX_KEPT = 1000;
/** Machines of those together, some 200 bytes each. */
const MAX_KEPT_MACHINES = 200_000;

/** The jobs that a tracker knows, by number: those to be done, and the newest of those that are over. */
export class JobList {
  /** The oldest first. */
  readonly #jobs = new Map<number, Job>();
  readonly #open = new Map<string, Job>();
  /** Of those, by what they are to do. */
  readonly #byWish = new Map<string, Job>();
  #lastId = 0;

  /** Jobs of an earlier run, the oldest first. */
  load(jobs: readonly Job[]): void {
    for (const job of jobs) {
      this.#jobs.set(job.id, job);
      this.#lastId = Math.max(this.#lastId, job.id);
      if (isOver(job)) continue;
      this.#open.set(job.key, job);
      this.#byWish.set(wishKey(job.wish), job);
    }
  }

  /** The oldest first. */
  get all(): readonly Job[] {
    return [...this.#jobs.values()];
  }

  /** Those that are not over, the oldest first. */
  get open(): readonly Job[] {
    return [...this.#open.values()];
  }

  get openCount(): number {
    return this.#open.size;
  }

  get(id: number): Job | undefined {
    return this.#jobs.get(id);
  }

  /** One that is not over. */
  withKey(key: string): Job | undefined {
    return this.#open.get(key);
  }

  /** A number that no job and no plan has. */
  nextId(): number {
    return ++this.#lastId;
  }

  /** Something else has this number. */
  reserve(id: number): void {
    this.#lastId = Math.max(this.#lastId, id);
  }

  /**
   * A new job, or the one that is at work on the same wish.
   * @param machines chosen already. @default once the image is known, as the wish says
   * @throws JOB_REFUSED when too many are not over
   */
  make(
    wish: PreheatWish,
    key: string,
    nowMs: number,
    machines?: readonly string[],
  ): { readonly job: Job; readonly isNew: boolean } {
    const wanted = wishKey(wish);
    const same = this.#byWish.get(wanted);
    if (same !== undefined) return { job: same, isNew: false };
    if (this.#open.size >= MAX_OPEN) {
      throw new DamselflyError('JOB_REFUSED', `${MAX_OPEN} jobs are not done yet; ask again later`);
    }
    const job: Job = {
      ...{ id: this.nextId(), key, wish, createdAtMs: nowMs, state: 'waiting', resolved: false },
      ...{
        images: [],
        blobs: [],
        manifests: [],
        batches: machines === undefined ? [] : [[...machines]],
        batch: 0,
        targets: new Map(),
        credentials: 'none',
      },
    };
    this.#jobs.set(job.id, job);
    this.#open.set(key, job);
    this.#byWish.set(wanted, job);
    return { job, isNew: true };
  }

  /** The newest job of that wish that has succeeded since then. */
  succeededSince(wish: PreheatWish, sinceMs: number): Job | undefined {
    const wanted = wishKey(wish);
    return this.all.findLast(
      (job) =>
        job.state === 'succeeded' && (job.finishedAtMs ?? 0) >= sinceMs && wishKey(job.wish) === wanted,
    );
  }

  /** The job is over. @returns numbers of those that are forgotten for it */
  over(job: Job): number[] {
    this.#open.delete(job.key);
    this.#byWish.delete(wishKey(job.wish));
    const kept = this.all.filter(isOver);
    let machines = kept.reduce((sum, { targets }) => sum + targets.size, 0);
    const forgotten: number[] = [];
    for (const [index, each] of kept.entries()) {
      const spare = kept.length - index > MAX_KEPT || machines > MAX_KEPT_MACHINES;
      // The one that has just ended stays, however large it is.
      if (!spare || each === job) break;
      machines -= each.targets.size;
      this.#jobs.delete(each.id);
      forgotten.push(each.id);
    }
    return forgotten;
  }
}
