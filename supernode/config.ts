import { z } from 'zod';
import { dataDirs, dhtListen, settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { address, duration, objectStoreUrl } from '../lib/config/values.ts';

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
  adminTokenFile: settings.adminTokenFile,
  tracker: settings.tracker,
  discovery: settings.discovery,
  bootstrap: settings.bootstrap,
  dhtListen: dhtListen(65007),
  clusterKeyFile: settings.clusterKeyFile,
  upstream: settings.upstream,
  authFile: settings.authFile,
  dataDir: dataDirs('supernode'),
  blobStore: setting(objectStoreUrl().optional(), {
    argument: '<disk|s3://bucket/prefix>',
    help: "where blobs are kept for good, the disk being a cache in front: a bucket, such as s3://blobs/damselfly?endpoint=https://rgw.corp&region=eu-1; credentials as Amazon's SDK finds them (default: disk, nowhere else)",
  }),
  storeMax: settings.storeMax,
  storeHigh: settings.storeHigh,
  storeLow: settings.storeLow,
  storeTtl: settings.storeTtl,
  scrubRate: settings.scrubRate,
  bufferMemory: settings.bufferMemory,
  uploadRate: settings.uploadRate,
  downloadRate: settings.downloadRate,
  registryRate: settings.registryRate,
  borderRate: settings.borderRate,
  maxConnections: settings.maxConnections,
  sessionMax: setting(duration().default(30 * 60_000), {
    argument: '<duration>',
    help: "how long a node's right to get blobs from peers is renewed without asking the registry again (default: 30m)",
  }),
  background: settings.background,
  advertise: settings.advertise,
  zone: settings.zone,
  zoneFile: settings.zoneFile,
  zoneCidr: settings.zoneCidr,
  logLevel: settings.logLevel,
  otlpEndpoint: settings.otlpEndpoint,
  insecure: settings.insecure,
  joinToken: settings.joinToken,
  enroll: settings.enroll,
  tlsCert: settings.tlsCert,
  tlsKey: settings.tlsKey,
  tlsCa: settings.tlsCa,
});

export type SupernodeConfig = z.output<typeof supernodeConfig>;
