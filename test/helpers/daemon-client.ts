import type { Test } from 'tap';
import { createDaemonClient, type DaemonClient } from '../../dfget/daemon-client.ts';

/** A client of a daemon's socket, closed at the end of the test. */
export function daemonClient(t: Test, socket: string): DaemonClient {
  const client = createDaemonClient(socket);
  t.teardown(() => client.close());
  return client;
}
