import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** CPU of a whole process so far, all its threads, and the most memory it ever had resident. */
export interface PartUsage {
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

/** What a helper process does when it is asked; every answer goes back over Node's IPC channel. */
export type Methods = Readonly<Record<string, (argument: never) => Promise<unknown>>>;

interface Question {
  readonly method: string;
  readonly argument: unknown;
}

type Answer = { readonly value: unknown } | { readonly failure: string };

const MAIN = join(import.meta.dirname, '..', 'transfer-main.ts');

/** One side of a transfer, in a process of its own so that the operating system counts its CPU apart. */
export interface Part extends AsyncDisposable {
  /** One question at a time. @throws Error with what the process threw, or when it is gone */
  ask<T>(method: string, argument?: unknown): Promise<T>;
  usage(): Promise<PartUsage>;
}

/** @param role one of those in transfer-main.ts */
export function startPart(role: string, signal: AbortSignal): Part {
  const child = fork(MAIN, [role], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = once(child, 'exit').then((): never => {
    throw new Error(`the ${role} process ended`);
  });
  gone.catch(() => {});
  const onAbort = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  async function ask<T>(method: string, argument?: unknown): Promise<T> {
    const question: Question = { method, argument };
    const answered = once(child, 'message') as Promise<[Answer]>;
    child.send(question);
    const [answer] = await Promise.race([answered, gone]);
    if ('failure' in answer) throw new Error(`${role}: ${answer.failure}`);
    return answer.value as T;
  }
  return {
    ask,
    usage: () => ask('usage'),
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', onAbort);
      if (child.connected) child.disconnect();
      await gone.catch(() => {});
    },
  };
}

/** The helper process's end of {@link startPart}. */
export function answerQuestions(methods: Methods): void {
  const all: Methods = { ...methods, usage: async () => usage() };
  process.on('disconnect', () => process.exit());
  process.on('message', (question: Question) => {
    const answer = async (): Promise<unknown> => all[question.method]?.(question.argument as never);
    answer().then(
      (value) => process.send?.({ value }),
      (error: unknown) => process.send?.({ failure: error instanceof Error ? error.stack : String(error) }),
    );
  });
}

function usage(): PartUsage {
  const { user, system } = process.cpuUsage();
  // In KiB, by getrusage(2).
  return { cpuSeconds: (user + system) / 1e6, peakRssBytes: process.resourceUsage().maxRSS * 1024 };
}
