import { DamselflyError, ERROR_CODES, type ErrorCode } from '../../core/errors.ts';
import { withAbort } from '../../core/single-flight.ts';
import type { PreheatLink } from '../../discovery/preheat-port.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { PlanMessage, PlanQuestion, PlanView } from '../../wire/plan-messages.ts';
import type { JobView, PreheatMessage, PreheatQuestion } from '../../wire/preheat-messages.ts';

/** A person waits. */
const ANSWER_MS = 5_000;

type Told = Extract<PreheatMessage, { readonly type: 'preheat-told' }>;
type PlansTold = Extract<PlanMessage, { readonly type: 'plan-told' }>;

export interface PreheatAnswer {
  /** The tracker that has these jobs: numbers mean nothing to another one. */
  readonly tracker: string;
  readonly jobs: readonly JobView[];
}

export interface PlanAnswer {
  /** The tracker that has these plans. */
  readonly tracker: string;
  readonly plans: readonly PlanView[];
}

interface Open {
  readonly link: PreheatLink;
  readonly result: PromiseWithResolvers<Told | PlansTold>;
}

/** Asks trackers about jobs and plans, for people on this machine, who need no credentials for it: the connection has them. */
export class PreheatQuestions {
  readonly #clock: Clock;
  readonly #links = new Map<string, PreheatLink>();
  readonly #open = new Map<number, Open>();
  #asked = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  welcomed(link: PreheatLink): void {
    this.#links.set(link.id, link);
  }

  lost(link: PreheatLink): void {
    for (const { link: of, result } of this.#open.values()) if (of === link) result.reject(unreachable());
  }

  told(message: Told): void {
    this.#open.get(message.ask)?.result.resolve(message);
  }

  toldPlans(message: PlansTold): void {
    this.#open.get(message.ask)?.result.resolve(message);
  }

  /**
   * @param tracker the one to ask; default: whichever is connected
   * @throws TRACKER_UNREACHABLE, ABORTED, and what the tracker says: CONFIG_INVALID, REFERENCE_INVALID, JOB_UNKNOWN...
   */
  async ask(
    question: PreheatQuestion,
    tracker: string | undefined,
    signal: AbortSignal,
  ): Promise<PreheatAnswer> {
    const say = (ask: number): PreheatMessage => ({ type: 'preheat-ask', ask, question });
    const { from, message } = await this.#ask(say, tracker, signal);
    return { tracker: from, jobs: message.type === 'preheat-told' ? message.jobs : [] };
  }

  /** The same about plans. */
  async askPlans(
    question: PlanQuestion,
    tracker: string | undefined,
    signal: AbortSignal,
  ): Promise<PlanAnswer> {
    const say = (ask: number): PreheatMessage => ({ type: 'plan-ask', ask, question });
    const { from, message } = await this.#ask(say, tracker, signal);
    return { tracker: from, plans: message.type === 'plan-told' ? message.plans : [] };
  }

  async #ask(
    say: (ask: number) => PreheatMessage,
    tracker: string | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly from: string; readonly message: Told | PlansTold }> {
    const connected = [...this.#links.values()].filter((link) => link.connected);
    const link = tracker === undefined ? connected[0] : connected.find(({ id }) => id === tracker);
    if (link === undefined) throw unreachable();
    const ask = ++this.#asked;
    const result = Promise.withResolvers<Told | PlansTold>();
    this.#open.set(ask, { link, result });
    const cancel = this.#clock.after(ANSWER_MS, () => result.reject(unreachable()));
    link.send(say(ask));
    try {
      const message = await withAbort(result.promise, signal);
      const { error } = message;
      if (error === undefined) return { from: link.id, message };
      const code = error.code in ERROR_CODES ? (error.code as ErrorCode) : 'INTERNAL';
      throw new DamselflyError(code, error.message);
    } finally {
      cancel();
      this.#open.delete(ask);
    }
  }

  close(): void {
    for (const { result } of this.#open.values()) result.reject(unreachable());
  }
}

function unreachable(): DamselflyError {
  return new DamselflyError('TRACKER_UNREACHABLE', 'no tracker answers: jobs are kept and run by trackers');
}
