import type { Clock } from '../runtime/clock.ts';

/** How often time passes for an engine: suspicion, back-off, fallback. */
const TICK_MS = 50;
/** The same while it shares no blob and nothing waits for the time: each tick wakes the process. */
const IDLE_TICK_MS = 1000;

export interface TicksHost {
  /** Time has passed. @param stoodStillMs for so long this process itself stood still */
  tick(stoodStillMs: number): void;
  /** Whether it has nothing to do but to renew what it holds. */
  isIdle(): boolean;
}

/** Lets time pass for an engine, seldom while it has nothing to do. */
export class Ticks {
  readonly #clock: Clock;
  readonly #host: TicksHost;
  #running = false;
  #periodMs = TICK_MS;
  #cancel = (): void => {};

  constructor(clock: Clock, host: TicksHost) {
    this.#clock = clock;
    this.#host = host;
  }

  start(): void {
    this.#running = true;
    this.#arm(TICK_MS);
  }

  /** There is something to do again. */
  wake(): void {
    if (!this.#running || this.#periodMs === TICK_MS) return;
    this.#cancel();
    this.#arm(TICK_MS);
  }

  stop(): void {
    this.#running = false;
    this.#cancel();
  }

  #arm(periodMs: number): void {
    this.#periodMs = periodMs;
    const dueMs = this.#clock.now() + periodMs;
    this.#cancel = this.#clock.after(periodMs, () => {
      const stoodStillMs = Math.max(0, this.#clock.now() - dueMs - TICK_MS);
      this.#arm(this.#host.isIdle() ? IDLE_TICK_MS : TICK_MS);
      this.#host.tick(stoodStillMs);
    });
  }
}
