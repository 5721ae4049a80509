import { orFail } from '../../lib/command/fail.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createDaemonClient, type DaemonClient } from '../daemon-client.ts';

export interface DaemonFlags {
  readonly socket: string;
  readonly json?: boolean;
}

/**
 * Runs a command that asks the daemon: interrupts end it, failures are told and become the exit code.
 * @param traceparent of the trace that what it asks for is part of
 */
export async function withDaemon(
  { json = false, socket }: DaemonFlags,
  use: (client: DaemonClient, signal: AbortSignal) => Promise<void>,
  traceparent?: string,
): Promise<void> {
  const client = createDaemonClient(socket, traceparent);
  const gaveUp = new AbortController();
  const onSignal = (): void => gaveUp.abort(new DamselflyError('ABORTED', 'interrupted'));
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  try {
    await orFail(json, () => use(client, gaveUp.signal));
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    await client.close();
  }
}
