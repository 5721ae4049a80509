import { z } from 'zod';
import { DEFAULT_SOCKET, dataDirs, settings } from '../../lib/config/common.ts';
import { setting } from '../../lib/config/load.ts';
import { address, duration, proxyListener } from '../../lib/config/values.ts';

/** Settings of `dfget daemon`: flag, DAMSELFLY_* variable or /etc/damselfly/daemon.yaml. */
export const daemonConfig = z.object({
  proxyListen: setting(z.array(proxyListener()).default([{ host: '127.0.0.1', port: 65001 }]), {
    argument: '<[name=]host:port>',
    repeat: true,
    help: 'registry mirror; NAME= makes a listener for one upstream; repeatable (default: 127.0.0.1:65001)',
  }),
  peerListen: setting(address().default({ host: '0.0.0.0', port: 65002 }), {
    argument: '<host:port>',
    help: 'where other nodes connect for pieces (default: 0.0.0.0:65002)',
  }),
  adminListen: setting(address().default({ host: '127.0.0.1', port: 65003 }), {
    argument: '<host:port>',
    help: 'health and metrics (default: 127.0.0.1:65003)',
  }),
  socket: setting(z.string().min(1).default(DEFAULT_SOCKET), {
    argument: '<path>',
    help: `local socket of the other dfget commands (default: ${DEFAULT_SOCKET})`,
  }),
  tracker: settings.tracker,
  upstream: settings.upstream,
  defaultUpstream: setting(z.string().toLowerCase().optional(), {
    argument: '<name>',
    help: 'upstream of requests that name none (default: the only one configured, if there is one)',
  }),
  authFile: settings.authFile,
  staleIfError: setting(duration().default(0), {
    argument: '<duration>',
    help: 'while a registry does not answer, serve callers what they were allowed within this time, such as 24h (default: 0, never)',
  }),
  tagsWhenDown: setting(z.enum(['refuse', 'stale']).optional(), {
    argument: '<refuse|stale>',
    help: 'a tag whose registry does not answer: refuse it, or serve its last digest with a Warning (default: stale with --stale-if-error, else refuse)',
  }),
  dataDir: dataDirs('node'),
  storeMax: settings.storeMax,
  storeHigh: settings.storeHigh,
  storeLow: settings.storeLow,
  storeTtl: settings.storeTtl,
  scrubRate: settings.scrubRate,
  bufferMemory: settings.bufferMemory,
  uploadRate: settings.uploadRate,
  downloadRate: settings.downloadRate,
  registryRate: settings.registryRate,
  maxConnections: settings.maxConnections,
  background: settings.background,
  advertise: settings.advertise,
  zone: settings.zone,
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type DaemonConfig = z.output<typeof daemonConfig>;
