import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { describeError } from '../../../lib/core/errors.ts';
import type { Logger } from '../../../lib/observe/log.ts';
import { type Clock, delay } from '../../../lib/runtime/clock.ts';
import { inheritanceEnv } from '../../../lib/runtime/inherited-sockets.ts';
import { Conversation, handoverFailed } from './conversation.ts';

/** From the start of the new process to its question: it reads its settings and loads its code. */
const START_MS = 60_000;
const TAKE_MS = 5_000;
/** To open store and ports, while clients wait: some 100 ms, more with a large store on a busy machine. */
const SERVE_MS = 10_000;
/** A process that ended a moment ago may still hold the store. */
const TAKE_BACK_MS = 30_000;
const TAKE_BACK_RETRY_MS = 200;

/** What a daemon can leave to the next one. */
export interface HandoverHost {
  /** Listening sockets, by the name and the address that the next process knows them by. */
  sockets(): readonly { readonly name: string; readonly at: string; readonly fd: number }[];
  /** Leaves store and ports; clients wait meanwhile. */
  release(): Promise<void>;
  /** Opens them again. @throws STORE_* */
  takeBack(): Promise<void>;
  /** They cannot be opened: this process is of no more use. */
  giveUp(error: unknown): void;
  /** The new process serves: go to it for blobs, take nothing new, end when all answers under way have. */
  retire(): void;
}

/** How to start a program: the file and its first arguments. */
export type Program = readonly [string, ...string[]];

/** The old daemon's side of a handover. */
export class Handover {
  readonly #deps: { readonly clock: Clock; readonly log: Logger };
  readonly #host: HandoverHost;
  #underWay = false;
  /** Told when the handover that a started process asks for has ended, one way or the other. */
  #outcome: PromiseWithResolvers<number> | undefined;

  constructor(deps: { readonly clock: Clock; readonly log: Logger }, host: HandoverHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /**
   * Starts the program with our sockets, and leaves our work to it. Who may name it is who may open our socket: our own
   * user, who could start it as well.
   * @returns its process id, once it serves
   * @throws UPGRADE_FAILED, and this process goes on
   */
  async start([file, ...before]: Program, args: readonly string[]): Promise<number> {
    if (this.#outcome !== undefined || this.#underWay) {
      throw handoverFailed('another upgrade is under way');
    }
    const outcome = Promise.withResolvers<number>();
    this.#outcome = outcome;
    outcome.promise.catch(() => {});
    const sockets = this.#host.sockets();
    const child = spawn(file, [...before, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', ...sockets.map(({ fd }) => fd)],
      env: { ...process.env, ...inheritanceEnv(sockets) },
    });
    child.unref();
    child.once('error', (error) => outcome.reject(handoverFailed(`${file}: ${error.message}`)));
    child.once('exit', (code, signal) => {
      const why = `the new daemon ended (${signal ?? `exit code ${code ?? 0}`}) before it had taken over`;
      outcome.reject(handoverFailed(`${why}; its words are in the log, and this one goes on`));
    });
    const cancel = this.#deps.clock.after(START_MS + SERVE_MS, () => {
      outcome.reject(handoverFailed('the new daemon does not come up; this one goes on'));
    });
    try {
      return await outcome.promise;
    } catch (error) {
      this.#deps.log.error({ error: describeError(error) }, 'no upgrade');
      await endChild(child);
      throw error;
    } finally {
      cancel();
      this.#outcome = undefined;
    }
  }

  /** Another daemon connects and wants our work. */
  async meet(socket: Socket, head: Uint8Array): Promise<void> {
    const { clock, log } = this.#deps;
    const conversation = new Conversation(socket, head, clock);
    const question = await conversation.hear(TAKE_MS);
    if (question?.type !== 'take' || this.#underWay) {
      conversation.say({ type: 'refused', message: 'another handover is under way' });
      conversation.end();
      return;
    }
    this.#underWay = true;
    const { pid, version } = question;
    log.info({ pid, version }, 'another daemon takes over');
    const startedMs = clock.now();
    const releasedMs = await this.#release();
    if (releasedMs !== undefined) conversation.say({ type: 'released' });
    const answer = releasedMs === undefined ? undefined : await this.#answer(conversation);
    if (releasedMs !== undefined && answer?.type === 'serving') {
      const times = { releaseMs: releasedMs - startedMs, openMs: clock.now() - releasedMs };
      log.info({ pid, ...times }, 'another daemon has taken over: it has the bytes for answers under way');
      this.#host.retire();
      this.#outcome?.resolve(pid);
    } else {
      conversation.say({ type: 'refused', message: 'no handover; the daemon before you goes on' });
      log.error({ pid }, 'the other daemon has not taken over: this one goes on');
      this.#outcome?.reject(handoverFailed('the new daemon did not come up; this one goes on'));
      await this.#takeBack();
      this.#underWay = false;
    }
    conversation.end();
  }

  /** @returns when all was free; undefined when something did not close as it should */
  async #release(): Promise<number | undefined> {
    try {
      await this.#host.release();
      return this.#deps.clock.now();
    } catch (error) {
      this.#deps.log.error({ error: describeError(error) }, 'the store could not be closed for a handover');
      return undefined;
    }
  }

  /** What the new process says, at the latest when it has ended. */
  async #answer(conversation: Conversation): ReturnType<Conversation['hear']> {
    const ended = this.#outcome?.promise.then(
      () => undefined,
      () => undefined,
    );
    const heard = conversation.hear(SERVE_MS);
    return await (ended === undefined ? heard : Promise.race([heard, ended]));
  }

  async #takeBack(): Promise<void> {
    const { clock, log } = this.#deps;
    const startedMs = clock.now();
    for (;;) {
      try {
        await this.#host.takeBack();
        return;
      } catch (error) {
        if (clock.now() - startedMs > TAKE_BACK_MS) {
          this.#host.giveUp(error);
          return;
        }
        log.warn({ error: describeError(error) }, 'the store is not free yet');
        await delay(clock, TAKE_BACK_RETRY_MS);
      }
    }
  }
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
