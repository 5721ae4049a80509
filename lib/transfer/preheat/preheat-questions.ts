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

/** One of the trackers of this process. */
export interface KnownTracker {
  /** As questions name it. */
  readonly url: string;
  readonly connected: boolean;
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
  #links: readonly PreheatLink[] = [];
  readonly #open = new Map<number, Open>();
  #asked = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  trackers(links: readonly PreheatLink[]): void {
    this.#links = links;
  }

  /** Each may have jobs, and numbers mean nothing to another one. */
  get known(): readonly KnownTracker[] {
    return this.#links.map(({ connected, id }) => ({ url: id, connected }));
  }

  lost(link: PreheatLink): void {
    for (const { link: of, result } of this.#open.values()) {
      if (of === link) result.reject(unreachable(of.id));
    }
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
    const connected = this.#links.filter((link) => link.connected);
    const link = tracker === undefined ? connected[0] : connected.find(({ id }) => id === tracker);
    if (link === undefined) throw unreachable(tracker);
    const ask = ++this.#asked;
    const result = Promise.withResolvers<Told | PlansTold>();
    this.#open.set(ask, { link, result });
    const cancel = this.#clock.after(ANSWER_MS, () => result.reject(unreachable(link.id)));
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

function unreachable(tracker?: string): DamselflyError {
  const who = tracker === undefined ? 'no tracker answers' : `${tracker} does not answer`;
  return new DamselflyError('TRACKER_UNREACHABLE', `${who}: jobs are kept and run by trackers`);
}
