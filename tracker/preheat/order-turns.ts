import { isFinal, type Job } from './job.ts';

/** Orders that leave with a tick, some 1,000 a second: whoever has one asks for the right to the image, and so the registry. */
const MOST_A_TICK = 200;

/** Which machines have the order of their job next: so many at a time, however many a job is for. */
export class OrderTurns {
  readonly #waiting = new Map<Job, Set<string>>();
  #left = MOST_A_TICK;

  /** A tick has passed. */
  refill(): void {
    this.#left = MOST_A_TICK;
  }

  /** These machines are connected, and not through. */
  add(job: Job, ids: readonly string[]): void {
    const waiting = this.#waiting.get(job) ?? new Set<string>();
    this.#waiting.set(job, waiting);
    for (const id of ids) {
      const target = job.targets.get(id);
      if (target === undefined) continue;
      target.state = 'waiting';
      delete target.goneSinceMs;
      waiting.add(id);
    }
  }

  /** Those whose turn it is: they are at work then. */
  take(job: Job): string[] {
    const ids: string[] = [];
    const waiting = this.#waiting.get(job) ?? new Set<string>();
    for (const id of waiting) {
      if (this.#left <= 0) break;
      waiting.delete(id);
      const target = job.targets.get(id);
      // It has left meanwhile, and is added when it is back; or it had the order before, and is through.
      if (target === undefined || target.goneSinceMs !== undefined || isFinal(target)) continue;
      target.state = 'running';
      this.#left--;
      ids.push(id);
    }
    return ids;
  }

  /** The job is over. @returns those that waited and are connected */
  forget(job: Job): string[] {
    const waiting = [...(this.#waiting.get(job) ?? [])].filter((id) => {
      const target = job.targets.get(id);
      return target !== undefined && target.goneSinceMs === undefined && !isFinal(target);
    });
    this.#waiting.delete(job);
    return waiting;
  }
}
