import { join } from 'node:path';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { startDockerRegistry } from '../../bench/fixtures/docker-registry.ts';
import type { NetworkNode } from '../../bench/fixtures/network.ts';
import type { RegistryAccess } from './registry-access.ts';
import type { RegistryFault, RelayCounters } from './registry-relay.ts';

/** The real registry behind the relay that counts and misbehaves, on a machine of their own. */
export interface RegistryMachine {
  readonly url: string;
  setFault(fault: RegistryFault): Promise<void>;
  counters(): Promise<RelayCounters>;
  stop(): Promise<void>;
}

export interface RegistryMachineOptions {
  readonly place: NetworkNode;
  readonly folder: string;
  /** The images. */
  readonly data: string;
  /** Who may use it; everybody when it says nothing. */
  readonly auth: RegistryAccess['registry'];
  readonly signal: AbortSignal;
}

/**
 * Least, first and most bytes that the kernel buffers for a connection. By itself it takes in megabytes that have left the
 * relay and not the machine; when the reader dies they would count as sent.
 */
const SEND_BUFFER = '4096 65536 524288';

/** @throws Error when a part does not come up */
export async function startRegistryMachine(options: RegistryMachineOptions): Promise<RegistryMachine> {
  const { auth, data, folder, place, signal } = options;
  const inside = ['netns', 'exec', place.namespace];
  const limit = await run('ip', [
    ...[...inside, 'sh', '-c'],
    `echo ${SEND_BUFFER} > /proc/sys/net/ipv4/tcp_wmem`,
  ]);
  if (limit.code !== 0) throw new Error(`the send buffer: ${limit.output.trim()}`);
  const registry = await startDockerRegistry({
    ...{ folder: join(folder, 'registry'), data, namespace: place.namespace, signal },
    ...auth,
  });
  try {
    const relay = await startChild<{ listen: string; control: string }>({
      command: 'ip',
      args: [
        ...[...inside, process.execPath, join(import.meta.dirname, 'registry-relay-main.ts')],
        ...['--host', place.peerHost, '--target', registry.address, '--control-host', place.clientHost],
      ],
      logFile: join(folder, 'registry-relay.log'),
      ready: jsonReady('registry-relay'),
      signal,
    });
    const control = `http://${relay.ready.control}/`;
    return {
      url: `http://${relay.ready.listen}`,
      async setFault(fault) {
        await fetch(control, { method: 'PUT', body: JSON.stringify(fault) });
      },
      counters: async () => (await (await fetch(control)).json()) as RelayCounters,
      stop: async () => void (await Promise.all([relay.stop(), registry.stop()])),
    };
  } catch (error) {
    await registry.stop();
    throw error;
  }
}
