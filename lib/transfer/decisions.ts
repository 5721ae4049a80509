import type { Clock } from '../runtime/clock.ts';
import type { ActionBuffer } from '../swarm/actions.ts';

/** Gives a core its events, each with the time, and has whatever it decides carried out. */
export class Decisions<Core extends { readonly actions: ActionBuffer }> {
  readonly core: Core;
  readonly #clock: Clock;
  readonly #carryOut: (actions: ActionBuffer, at: number) => void;
  #acting = false;

  /** @param carryOut does what is written at this place of the buffer; may bring new events */
  constructor(core: Core, clock: Clock, carryOut: (actions: ActionBuffer, at: number) => void) {
    this.core = core;
    this.#clock = clock;
    this.#carryOut = carryOut;
  }

  /** One event for the core, then whatever it decided. */
  decide<T>(event: (core: Core, now: number) => T): T {
    const result = event(this.core, this.#clock.now());
    if (!this.#acting) this.#act();
    return result;
  }

  #act(): void {
    const { actions } = this.core;
    this.#acting = true;
    try {
      // Carrying out an action may bring new events, whose actions are appended while we read.
      for (let at = 0; at < actions.length; at++) this.#carryOut(actions, at);
    } finally {
      // Whatever went wrong, the next decisions are carried out.
      actions.clear();
      this.#acting = false;
    }
  }
}
