/** Something that was done to the cluster, and when. */
export interface ChaosEvent {
  /** Since the pulls began. */
  readonly seconds: number;
  /** Share of all bytes that the clients had received. */
  readonly progress: number;
  readonly what: string;
}

interface Step {
  readonly progress: number;
  readonly what: string;
  readonly act: () => Promise<void>;
}

/** What strikes a pull, and when: moments are shares of the pull, so that a slow machine is struck at the same places. */
export interface Schedule {
  /** At a share of the pull in [0, 1). */
  at(progress: number, what: string, act: () => Promise<void>): void;
  /** Tells how far the pulls are. */
  reached(progress: number): void;
  /** When all that was begun is done. @throws Error when a step failed or was never reached */
  settle(): Promise<void>;
  readonly events: readonly ChaosEvent[];
}

export function createSchedule(nowSeconds: () => number): Schedule {
  const waiting: Step[] = [];
  const events: ChaosEvent[] = [];
  let last: Promise<void> = Promise.resolve();
  return {
    events,
    at(progress, what, act) {
      waiting.push({ progress, what, act });
      waiting.sort((a, b) => a.progress - b.progress);
    },
    reached(progress) {
      while (waiting[0] !== undefined && waiting[0].progress <= progress) {
        const { what, act } = waiting.shift() as Step;
        // One after the other: a restart must not overtake the kill before it.
        last = last.then(async () => {
          events.push({ seconds: round(nowSeconds()), progress: round(progress), what });
          await act();
        });
        // Told by settle(); until then it is nobody's unhandled rejection.
        last.catch(() => {});
      }
    },
    async settle() {
      await last;
      const missed = waiting.map(({ what }) => what);
      if (missed.length > 0) throw new Error(`the pulls ended before: ${missed.join(', ')}`);
    },
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
