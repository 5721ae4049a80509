/** What a running process offers its owner. */
export interface RunningProcess {
  /** Printed as one JSON line with `--json`: where it listens. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** For people: where it listens, in a line or a few. */
  readonly summary: string;
  /** Most that `close` may take, milliseconds; then the process is ended all the same. @default STOP_MS */
  readonly stopLimitMs?: number;
  /** Settles when the process has nothing more to do, without being told to stop. @default never */
  readonly ended?: Promise<void>;
  close(): Promise<void>;
}

/** Exit codes of every command, also in docs/CLI.md. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** How long a process may take to stop that waits for nobody. */
export const STOP_MS = 5_000;

/**
 * Runs until SIGTERM or SIGINT, then stops in order; a second signal, or its time limit, ends it at once. Prints where it
 * listens on stdout.
 */
export async function runUntilSignal(
  start: () => Promise<RunningProcess>,
  options: {
    readonly json: boolean;
    /** Tells what went wrong. @returns the exit code */
    readonly failed: (error: unknown) => number;
  },
): Promise<never> {
  const stopRequested = new Promise<void>((resolve) => {
    let asked = false;
    const onSignal = (): void => {
      if (asked) process.exit(EXIT.interrupted);
      asked = true;
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  let running: RunningProcess;
  try {
    running = await start();
  } catch (error) {
    process.exit(options.failed(error));
  }
  process.stdout.write(options.json ? `${JSON.stringify(running.ready)}\n` : `${running.summary}\n`);
  try {
    const { ended = new Promise<never>(() => {}), stopLimitMs = STOP_MS } = running;
    const told = await Promise.race([stopRequested.then(() => true), ended.then(() => false)]);
    if (told) {
      setTimeout(() => process.exit(EXIT.failed), stopLimitMs).unref();
      await running.close();
    }
  } catch (error) {
    process.exit(options.failed(error));
  }
  process.exit(EXIT.ok);
}
