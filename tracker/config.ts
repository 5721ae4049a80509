import { z } from 'zod';
import { defaultDataDir, settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address, redisUrl } from '../lib/config/values.ts';

/** Where a tracker with an identity answers who has none: load balancers, Prometheus. */
export const DEFAULT_ADMIN = { host: '127.0.0.1', port: 65006 } as const;

/** Settings of `damselfly tracker`: flag, DAMSELFLY_* variable or /etc/damselfly/tracker.yaml. */
export const trackerConfig = z.object({
  listen: setting(address().default({ host: '0.0.0.0', port: 8400 }), {
    argument: '<host:port>',
    help: 'control connections of nodes and supernodes (default: 0.0.0.0:8400)',
  }),
  httpListen: setting(address().default({ host: '0.0.0.0', port: 8401 }), {
    argument: '<host:port>',
    help: 'enrolment, announce and scrape of BitTorrent clients: HTTPS, with --insecure HTTP (default: 0.0.0.0:8401)',
  }),
  udpListen: setting(
    z
      .union([z.literal('off').transform((): false => false), address()], {
        error: 'expected host:port, such as 0.0.0.0:8401, or off',
      })
      .optional(),
    {
      argument: '<host:port|off>',
      help: 'UDP announce of BitTorrent clients (default: off; with --insecure as --http-listen)',
    },
  ),
  adminListen: setting(address().optional(), {
    argument: '<host:port>',
    help: `health and metrics (default: ${DEFAULT_ADMIN.host}:${DEFAULT_ADMIN.port}; with --insecure the control port alone)`,
  }),
  dataDir: setting(z.string().min(1).default(defaultDataDir('tracker')), {
    argument: '<folder>',
    help: `the tracker's own key and certificate (default: ${defaultDataDir('tracker')})`,
  }),
  caDir: setting(z.string().min(1).default(defaultDataDir('ca')), {
    argument: '<folder>',
    help: `the cluster's authority, as "damselfly ca init" makes it (default: ${defaultDataDir('ca')})`,
  }),
  peerStore: setting(redisUrl().optional(), {
    argument: '<memory|url>',
    help: 'where trackers share who has what, and leases: redis://:PASSWORD@host:6379/0, rediss:// or unix:///path; any of them then answers for any blob (default: memory, each by itself)',
  }),
  joinToken: settings.joinToken,
  enroll: settings.enroll,
  tlsCert: settings.tlsCert,
  tlsKey: settings.tlsKey,
  tlsCa: settings.tlsCa,
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type TrackerConfig = z.output<typeof trackerConfig>;
