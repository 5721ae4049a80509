import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ListenAddress } from '../lib/config/values.ts';
import { DamselflyError, describeError } from '../lib/core/errors.ts';
import { joinAddress } from '../lib/observe/admin-server.ts';

/**
 * Starts listening. @returns the address with the port that was chosen
 * @throws CONFIG_INVALID when it cannot
 */
export async function listen(server: Server, address: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(address, error)));
    server.listen(address.port, address.host, resolve);
  });
  server.removeAllListeners('error');
  return { host: address.host, port: (server.address() as AddressInfo).port };
}

/** What to say when a port cannot be had. */
export function cannotListen(address: ListenAddress, error: unknown): DamselflyError {
  return new DamselflyError(
    'CONFIG_INVALID',
    `cannot listen on ${joinAddress(address.host, address.port)}: ${describeError(error)}; give another address (--help says how), or port 0 for any free one`,
    {},
    { cause: error },
  );
}
