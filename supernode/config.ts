import { z } from 'zod';
import { defaultDataDir, settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address } from '../lib/config/values.ts';

/** Settings of `damselfly supernode`: flag, DAMSELFLY_* variable or /etc/damselfly/supernode.yaml. */
export const supernodeConfig = z.object({
  peerListen: setting(address().default({ host: '0.0.0.0', port: 65004 }), {
    argument: '<host:port>',
    help: 'where nodes connect for pieces (default: 0.0.0.0:65004)',
  }),
  adminListen: setting(address().default({ host: '127.0.0.1', port: 65005 }), {
    argument: '<host:port>',
    help: 'health and metrics (default: 127.0.0.1:65005)',
  }),
  tracker: settings.tracker,
  upstream: settings.upstream,
  authFile: settings.authFile,
  dataDir: setting(z.string().min(1).default(defaultDataDir('supernode')), {
    argument: '<folder>',
    help: `blobs and their records (default: ${defaultDataDir('supernode')})`,
  }),
  storeMax: settings.storeMax,
  bufferMemory: settings.bufferMemory,
  advertise: settings.advertise,
  zone: settings.zone,
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type SupernodeConfig = z.output<typeof supernodeConfig>;
