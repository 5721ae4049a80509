import { z } from 'zod';
import { setting } from '../lib/config/load.ts';
import { address, logLevel, toggle } from '../lib/config/values.ts';
import type { TrackerOptions } from './tracker.ts';

/** Settings of `damselfly tracker`: flag, DAMSELFLY_* variable or /etc/damselfly/tracker.yaml. */
export const trackerConfig = z.object({
  listen: setting(address().default({ host: '0.0.0.0', port: 8400 }), {
    argument: '<host:port>',
    help: 'control connections of nodes and supernodes, health and metrics (default: 0.0.0.0:8400)',
  }),
  httpListen: setting(address().default({ host: '0.0.0.0', port: 8401 }), {
    argument: '<host:port>',
    help: 'HTTP announce and scrape of BitTorrent clients (default: 0.0.0.0:8401)',
  }),
  udpListen: setting(z.union([z.literal('off').transform(() => false as const), address()]).optional(), {
    argument: '<host:port|off>',
    help: 'UDP announce of BitTorrent clients (default: as --http-listen)',
  }),
  logLevel: setting(logLevel().default('info'), {
    argument: '<level>',
    help: 'debug, info, warn, error or silent (default: info)',
  }),
  insecure: setting(toggle().default(false), {
    help: 'plain connections without identities: for a network where everyone is trusted',
  }),
});

export type TrackerConfig = z.output<typeof trackerConfig>;

export function trackerOptions(config: TrackerConfig): TrackerOptions {
  const { listen, httpListen, udpListen } = config;
  return {
    control: listen,
    announce: udpListen === undefined ? { http: httpListen } : { http: httpListen, udp: udpListen },
  };
}
