import { closeSync } from 'node:fs';
import type { ListenAddress } from '../../lib/config/values.ts';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import { type InheritedSocket, inheritedSockets } from '../../lib/runtime/inherited-sockets.ts';
import type { DaemonConfig } from './config.ts';

/** What a daemon listens on, as sockets are called when they are handed over. */
const SOCKET_NAMES = ['proxy', 'forward', 'peer', 'admin'] as const;
export type SocketName = (typeof SOCKET_NAMES)[number];

/** The address as the settings say it, by which the next process finds the socket of its listener. */
export const placeName = ({ host, port }: ListenAddress): string => joinAddress(host, port);

/**
 * The settings with the sockets that this process was given. Several `proxy` sockets of systemd are for the listeners in
 * their order; those of the process before this one are for the listeners with the same address. What no listener takes
 * is closed.
 * @throws CONFIG_INVALID
 */
export function withInherited(
  config: DaemonConfig,
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): DaemonConfig {
  const left = inheritedSockets(env, pid, SOCKET_NAMES);
  const place = <T extends ListenAddress>(name: SocketName, listener: T): T => {
    const fits = (socket: InheritedSocket): boolean =>
      socket.name === name && (socket.at === undefined || socket.at === placeName(listener));
    const index = left.findIndex(fits);
    const [taken] = index < 0 ? [] : left.splice(index, 1);
    return taken === undefined ? listener : { ...listener, fd: taken.fd };
  };
  const { adminListen, forwardProxy, peerListen, proxyListen } = config;
  const placed = {
    ...config,
    proxyListen: proxyListen.map((listener) => place('proxy', listener)),
    forwardProxy: forwardProxy === undefined ? undefined : place('forward', forwardProxy),
    peerListen: place('peer', peerListen),
    adminListen: place('admin', adminListen),
  };
  for (const { fd } of left) closeSync(fd);
  return placed;
}
