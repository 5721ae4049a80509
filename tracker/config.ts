import { z } from 'zod';
import { settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address } from '../lib/config/values.ts';

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
  udpListen: setting(
    z
      .union([z.literal('off').transform((): false => false), address()], {
        error: 'expected host:port, such as 0.0.0.0:8401, or off',
      })
      .optional(),
    {
      argument: '<host:port|off>',
      help: 'UDP announce of BitTorrent clients (default: as --http-listen)',
    },
  ),
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type TrackerConfig = z.output<typeof trackerConfig>;
