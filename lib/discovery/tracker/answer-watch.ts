import { type Clock, every } from '../../runtime/clock.ts';

/** A tracker that has said nothing for so long after a question is asked whether it is there, milliseconds. */
const PROBE_AFTER_MS = 1000;
/** And is given up when it has said nothing after four seconds more: a client waits, and five seconds are its patience. */
const PROBE_TICKS = 4;
const TICK_MS = 1000;

/**
 * Finds a connection that takes questions and gives nothing back, long before heartbeats would: only while an answer is
 * due, so that it costs nothing else.
 */
export class AnswerWatch {
  readonly #clock: Clock;
  readonly #act: { probe(): void; giveUp(): void };
  #heard = true;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, act: { probe(): void; giveUp(): void }) {
    this.#clock = clock;
    this.#act = act;
  }

  /** A question was sent. */
  asked(): void {
    if (this.#cancel !== undefined) return;
    this.#heard = false;
    this.#cancel = this.#clock.after(PROBE_AFTER_MS, () => {
      if (this.#heard) this.stop();
      else {
        this.#act.probe();
        // Ticks are counted, not time: after a pause of this process itself there is one tick, not a dead tracker.
        let ticks = 0;
        this.#cancel = every(this.#clock, TICK_MS, () => {
          if (!this.#heard && ++ticks < PROBE_TICKS) return;
          this.stop();
          if (!this.#heard) this.#act.giveUp();
        });
      }
    });
  }

  /** Anything came. */
  heard(): void {
    this.#heard = true;
  }

  /** Nothing is expected any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
