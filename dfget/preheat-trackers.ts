import { DamselflyError, hasCode } from '../lib/core/errors.ts';
import type { KnownTracker } from '../lib/transfer/preheat/preheat-questions.ts';
import { CONTROL_PATH } from '../lib/wire/control-messages.ts';
import type { PlanView } from '../lib/wire/plan-messages.ts';
import type { JobView } from '../lib/wire/preheat-messages.ts';
import type { DaemonClient } from './daemon-client.ts';

type Asked = Pick<DaemonClient, 'status' | 'preheats' | 'plans'>;

/** A job or a plan, and the tracker that has it. */
export type Found =
  | { readonly tracker: string; readonly job: JobView; readonly plan?: never }
  | { readonly tracker: string; readonly plan: PlanView; readonly job?: never };

/** What is asked for by number; only plans are stopped and resumed. */
export type Act = 'stop' | 'resume' | 'cancel';

/** The trackers of a daemon. Each has jobs and plans of its own, in a row of numbers of its own. */
export class PreheatTrackers {
  readonly #client: Asked;
  readonly #signal: AbortSignal;
  readonly #known: readonly KnownTracker[];
  /** The one that the user has named. */
  readonly #named: KnownTracker | undefined;

  private constructor(
    client: Asked,
    signal: AbortSignal,
    known: readonly KnownTracker[],
    named: KnownTracker | undefined,
  ) {
    this.#client = client;
    this.#signal = signal;
    this.#known = known;
    this.#named = named;
  }

  /**
   * @param name one of them: its URL, or its address or host where only one has it
   * @throws CONFIG_INVALID when there is none of that name; DAEMON_UNREACHABLE, ABORTED
   */
  static async of(client: Asked, name: string | undefined, signal: AbortSignal): Promise<PreheatTrackers> {
    // A daemon of an earlier version names none: it asks whichever is connected.
    const known = (await client.status(signal)).tracker.each ?? [];
    const named = name === undefined ? undefined : chosen(known, name);
    return new PreheatTrackers(client, signal, known, named);
  }

  /** Who is to have a new job; undefined: whichever is connected. */
  get named(): string | undefined {
    return this.#named?.url;
  }

  /** What to say of a tracker where it might be another one; empty when there is only one. */
  told(tracker: string): string | undefined {
    return this.#known.length > 1 ? shown(tracker) : undefined;
  }

  /** `--resume 12`, and where several trackers are, which is meant. */
  command(act: Act, id: number, tracker: string): string {
    const which = this.told(tracker);
    return `dfget preheat --${act} ${id}${which === undefined ? '' : ` --tracker ${which}`}`;
  }

  /** The newest jobs and plans of all of them, or of the one that was named, and those that did not answer. */
  async list(): Promise<{ readonly found: readonly Found[]; readonly silent: readonly string[] }> {
    const told = await this.#each(async (tracker): Promise<Found[]> => {
      const question = { act: 'list' } as const;
      const [{ plans }, { jobs, tracker: of }] = await Promise.all([
        // One of an earlier version does not know what a plan is, and says nothing.
        this.#client.plans(question, tracker, this.#signal).catch((error: unknown) => {
          if (hasCode(error, 'TRACKER_UNREACHABLE')) return { plans: [] };
          throw error;
        }),
        this.#client.preheats(question, tracker, this.#signal),
      ]);
      return [...plans.map((plan) => ({ tracker: of, plan })), ...jobs.map((job) => ({ tracker: of, job }))];
    });
    const found = told.flatMap(({ answer }) => answer ?? []);
    if (told.every(({ answer }) => answer === undefined)) throw unreachable(told[0]?.tracker);
    return { found: found.sort((a, b) => bornMs(b) - bornMs(a)), silent: silentIn(told) };
  }

  /**
   * Whose number it is. An order is never given to another tracker's job that happens to have the same one.
   * @throws JOB_UNKNOWN, TRACKER_UNREACHABLE; CONFIG_INVALID when it may be several, with the commands that say which
   */
  async whose(act: Act, id: number): Promise<Found> {
    const told = await this.#each((tracker) => this.#find(id, tracker));
    const all = told.flatMap(({ answer }) => answer ?? []);
    const found = all.filter(({ plan }) => act === 'cancel' || plan !== undefined);
    const silent = silentIn(told);
    const [only] = found;
    if (only !== undefined && found.length === 1 && silent.length === 0) return only;
    const what = act === 'cancel' ? 'job or plan' : 'plan';
    if (only !== undefined) throw this.#unclear(act, id, found, silent);
    // A daemon that names none has none, or asks whichever is connected.
    if (silent.includes('')) throw unreachable();
    if (silent.length > 0) {
      const rest = told.length === 1 ? '' : `, and no other tracker has a ${what} ${id}`;
      const message = `${silent.map(shown).join(', ')}: no answer${rest}: a tracker that was restarted goes on with its jobs`;
      throw new DamselflyError('TRACKER_UNREACHABLE', message);
    }
    const [job] = all;
    if (job !== undefined) {
      const message = `${id} is a job: only plans are stopped and resumed. To end it: ${this.command('cancel', id, job.tracker)}`;
      throw new DamselflyError('JOB_UNKNOWN', message);
    }
    const of =
      told.length > 1 ? `none of the trackers has a ${what} ${id}` : `the tracker has no ${what} ${id}`;
    throw new DamselflyError('JOB_UNKNOWN', `${of}; see dfget preheat --list`);
  }

  async #find(id: number, tracker: string | undefined): Promise<Found[]> {
    const question = { act: 'get', id } as const;
    const asJob = await ifKnown(this.#client.preheats(question, tracker, this.#signal));
    if (asJob !== undefined) return asJob.jobs.map((job) => ({ tracker: asJob.tracker, job }));
    const asPlan = await ifKnown(this.#client.plans(question, tracker, this.#signal));
    return asPlan?.plans.map((plan) => ({ tracker: asPlan.tracker, plan })) ?? [];
  }

  /** @returns without an answer: it is silent */
  async #each<T>(
    ask: (tracker: string | undefined) => Promise<T>,
  ): Promise<{ readonly tracker: string; readonly answer?: T }[]> {
    const asked = this.#named === undefined ? this.#known : [this.#named];
    const urls = asked.length === 0 ? [undefined] : asked.map(({ url }) => url);
    return await Promise.all(
      urls.map(async (url) => {
        const tracker = url ?? '';
        try {
          return { tracker, answer: await ask(url) };
        } catch (error) {
          if (hasCode(error, 'TRACKER_UNREACHABLE')) return { tracker };
          throw error;
        }
      }),
    );
  }

  #unclear(act: Act, id: number, found: readonly Found[], silent: readonly string[]): DamselflyError {
    const why =
      found.length > 1
        ? `${found.length} trackers have a ${id}`
        : `${silent.map(shown).join(', ')}: no answer, and its ${id} may be the one that is meant`;
    const which = found.map((each) => `\n  ${this.command(act, id, each.tracker)}   ${titleOf(each)}`);
    return new DamselflyError('CONFIG_INVALID', `${why}; nothing was done. Say which:${which.join('')}`);
  }
}

/** As people write it: the path is always the same. */
function shown(url: string): string {
  return url.endsWith(CONTROL_PATH) ? url.slice(0, -CONTROL_PATH.length) : url;
}

function chosen(known: readonly KnownTracker[], name: string): KnownTracker {
  const text = name.replace(/\/$/, '');
  const byUrl = known.filter(({ url }) => url === text || shown(url) === text);
  const byAddress = known.filter(({ url }) => [new URL(url).host, new URL(url).hostname].includes(text));
  const [one, ...more] = byUrl.length > 0 ? byUrl : byAddress;
  if (one !== undefined && more.length === 0) return one;
  const names = known.map(({ url }) => shown(url)).join(', ') || 'no tracker that it can name';
  throw new DamselflyError('CONFIG_INVALID', `--tracker ${name}: the daemon has ${names}`);
}

async function ifKnown<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (hasCode(error, 'JOB_UNKNOWN')) return undefined;
    throw error;
  }
}

function silentIn(told: readonly { readonly tracker: string; readonly answer?: unknown }[]): string[] {
  return told.flatMap(({ answer, tracker }) => (answer === undefined ? [tracker] : []));
}

function bornMs({ job, plan }: Found): number {
  return job?.createdAtMs ?? plan?.createdAtMs ?? 0;
}

/** `plan shop 2.0, running` */
function titleOf({ job, plan }: Found): string {
  return job === undefined ? `plan ${plan?.name}, ${plan?.state}` : `job ${job.image}, ${job.state}`;
}

function unreachable(tracker = ''): DamselflyError {
  const who = tracker === '' ? 'no tracker answers' : `${shown(tracker)}: no answer`;
  return new DamselflyError('TRACKER_UNREACHABLE', `${who}: jobs are kept and run by trackers`);
}
