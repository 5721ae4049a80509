import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { setting } from './load.ts';
import { upstream } from './upstream.ts';
import { advertised, logLevel, name, size, toggle, trackerUrl } from './values.ts';

/** Settings that several processes share, so that each has one name and one meaning everywhere. */

const MIB = 1024 * 1024;

/** Root keeps data where a service does; anyone else in the home folder, so that trying needs no rights. */
export function defaultDataDir(part: string): string {
  const asRoot = process.getuid?.() === 0;
  return join(asRoot ? '/var/lib/damselfly' : join(homedir(), '.local', 'share', 'damselfly'), part);
}

export const DEFAULT_SOCKET =
  process.getuid?.() === 0
    ? '/run/damselfly.sock'
    : join(homedir(), '.local', 'share', 'damselfly', 'damselfly.sock');

export const settings = {
  advertise: setting(advertised().optional(), {
    argument: '<host[:port]>',
    help: 'how other machines reach the peer port (default: the address the tracker sees us come from)',
  }),
  tracker: setting(z.array(trackerUrl()).default([]), {
    argument: '<url>',
    repeat: true,
    help: 'control address of a tracker, such as ws://tracker.corp:8400; repeat for several',
  }),
  upstream: setting(z.array(upstream()).default([]), {
    argument: '<name=url>',
    repeat: true,
    help: 'a registry as images name it, and where it is: harbor.corp=https://harbor.corp; repeatable',
  }),
  authFile: setting(z.array(z.string().min(1)).default([]), {
    argument: '<path>',
    repeat: true,
    help: "docker's config.json or containers' auth.json with credentials for the upstreams; read again when they are needed; repeatable",
  }),
  zone: setting(name('a zone').default(''), {
    argument: '<zone>',
    help: 'where this machine is: peers of one zone prefer each other',
  }),
  logLevel: setting(logLevel().default('info'), {
    argument: '<level>',
    help: 'debug, info, warn, error or silent (default: info)',
  }),
  insecure: setting(toggle().default(false), {
    help: 'plain connections without identities: for a network where everyone is trusted (the only mode for now)',
  }),
  storeMax: setting(size().optional(), {
    argument: '<size>',
    help: 'most that the store may hold, such as 200GiB (default: as much as the disk does)',
  }),
  bufferMemory: setting(size().default(256 * MIB), {
    argument: '<size>',
    help: 'memory for pieces on their way (default: 256MiB)',
  }),
};
