import type { Clock } from '../../lib/runtime/clock.ts';

/**
 * One run of one process, from its start to its death. All that happens in it passes through here, so that a process
 * that was killed does nothing more, and one that stands still (SIGSTOP) does it when it goes on.
 */
export class SimProcess {
  /** Its monotonic clock, which may run a little fast or slow. */
  readonly clock: Clock;
  readonly #world: Clock;
  #alive = true;
  /** What is to happen when it goes on; undefined while it runs. */
  #waiting: (() => void)[] | undefined;

  /** @param rate seconds of this process in a second of the world */
  constructor(world: Clock, rate = 1) {
    this.#world = world;
    const bornMs = world.now();
    this.clock = {
      now: () => bornMs + (world.now() - bornMs) * rate,
      after: (delayMs, callback) => {
        let cancelled = false;
        const cancel = world.after(delayMs / rate, () =>
          this.run(() => {
            if (!cancelled) callback();
          }),
        );
        return () => {
          cancelled = true;
          cancel();
        };
      },
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#waiting !== undefined;
  }

  /** Does it now, or when the process goes on, or never. */
  run(action: () => void): void {
    if (!this.#alive) return;
    if (this.#waiting === undefined) action();
    else this.#waiting.push(action);
  }

  /** Settles as the promise does, when the process can see it; never once it is dead. */
  later<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => this.run(() => resolve(value)),
        (error: Error) => this.run(() => reject(error)),
      );
    });
  }

  /** Something of the outside, asked by the process: not asked once it is dead. */
  ask<T>(question: () => Promise<T>): Promise<T> {
    return this.#alive ? this.later(question()) : new Promise(() => {});
  }

  /** So much time passes. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(ms, resolve));
  }

  kill(): void {
    this.#alive = false;
    this.#waiting = undefined;
  }

  freeze(): void {
    if (this.#alive) this.#waiting ??= [];
  }

  thaw(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const action of waiting) this.#world.after(0, () => this.run(action));
  }
}
