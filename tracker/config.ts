import { z } from 'zod';
import { defaultDataDir, settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address, refuse } from '../lib/config/values.ts';
import { type Networks, parseNetworks } from './networks.ts';

/** Where a tracker with an identity answers who has none: load balancers, Prometheus. */
export const DEFAULT_ADMIN = { host: '127.0.0.1', port: 65006 } as const;

/** `10.0.0.0/8,fd00::/8` */
const networks = () =>
  z
    .string()
    .transform(
      (text, context): Networks =>
        parseNetworks(text) ?? refuse(context, 'networks, such as 10.0.0.0/8,fd00::/8'),
    );

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
  btUdp: setting(networks().optional(), {
    argument: '<cidr,...>',
    help: 'take announces of BitTorrent clients over UDP too, from these networks, for what "dfget cache share" has published; there is no passkey (default: off)',
  }),
  udpListen: setting(address().optional(), {
    argument: '<host:port>',
    help: 'where --bt-udp listens (default: as --http-listen)',
  }),
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
  joinToken: settings.joinToken,
  enroll: settings.enroll,
  tlsCert: settings.tlsCert,
  tlsKey: settings.tlsKey,
  tlsCa: settings.tlsCa,
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type TrackerConfig = z.output<typeof trackerConfig>;
