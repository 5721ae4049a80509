import { type Clock, every } from '../../runtime/clock.ts';

/** A tracker that has said nothing for so long after a question is asked whether it is there, milliseconds. */
const PROBE_AFTER_MS = 1000;
/** When it says nothing to that either, it is doubted after so many ticks: others are asked meanwhile. */
const DOUBT_TICKS = 1;
/** And is given up when it has said nothing after four seconds more: a client waits, and five seconds are its patience. */
const PROBE_TICKS = 4;
const TICK_MS = 1000;

interface AnswerWatchActs {
  /** A question has waited for a second. */
  late(): void;
  /** Asks whether it is there. */
  probe(): void;
  /** It has not said so for a second. */
  doubt(): void;
  giveUp(): void;
}

/**
 * Finds a connection that takes questions and gives nothing back, long before heartbeats would: only while an answer is
 * due, so that it costs nothing else.
 */
export class AnswerWatch {
  readonly #clock: Clock;
  readonly #act: AnswerWatchActs;
  #heard = true;
  #cancel: (() => void) | undefined;
  #isProbing = false;

  constructor(clock: Clock, act: AnswerWatchActs) {
    this.#clock = clock;
    this.#act = act;
  }

  /** A question was sent. */
  asked(): void {
    // What has answered since the last question begins anew: an answer to that one is none to this.
    if (this.#cancel !== undefined && !this.#heard) return;
    this.stop();
    this.#heard = false;
    this.#cancel = this.#clock.after(PROBE_AFTER_MS, () => {
      if (this.#heard) this.stop();
      else {
        this.#probe();
        this.#act.late();
      }
    });
  }

  /** Finds out at once whether it is there: another one seems not to be. */
  check(): void {
    if (this.#isProbing) return;
    this.stop();
    this.#heard = false;
    this.#probe();
  }

  #probe(): void {
    this.#isProbing = true;
    this.#act.probe();
    // Ticks are counted, not time: after a pause of this process itself there is one tick, not a dead tracker.
    let ticks = 0;
    this.#cancel = every(this.#clock, TICK_MS, () => {
      ticks++;
      if (!this.#heard && ticks === DOUBT_TICKS) this.#act.doubt();
      if (!this.#heard && ticks < PROBE_TICKS) return;
      this.stop();
      if (!this.#heard) this.#act.giveUp();
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
    this.#isProbing = false;
  }
}
