import { z } from 'zod';
import { DEFAULT_SOCKET, dataDirs, dhtListen, settings } from '../../lib/config/common.ts';
import { setting } from '../../lib/config/load.ts';
import {
  address,
  cacheAfterPull,
  duration,
  httpUrl,
  proxyListener,
  rate,
  toggle,
} from '../../lib/config/values.ts';
import { isRegistryHost } from '../../lib/oci/names.ts';
import { canonicalRegistry } from '../../lib/oci/reference.ts';
import { type ForwardRule, parseRule, rule } from '../../registry-proxy/forward/rules.ts';

/** A rule of the forward proxy as text, or as dfdaemon's file has it. */
const forwardRule = () =>
  z
    .union([
      z.string(),
      z.strictObject({
        regx: z.string(),
        direct: z.boolean().default(false),
        use_https: z.boolean().default(false),
      }),
    ])
    .transform((given, context): ForwardRule => {
      const parsed =
        typeof given === 'string' ? parseRule(given) : rule(given.regx, given.direct, given.use_https);
      if (parsed !== undefined) return parsed;
      context.addIssue({
        code: 'custom',
        message: 'expected a regular expression, with direct or use-https before it',
      });
      return z.NEVER;
    });

/** A registry as images name it. */
const registryName = () =>
  z
    .string()
    .toLowerCase()
    .refine(isRegistryHost, 'expected the name of a registry, such as harbor.corp')
    .transform(canonicalRegistry);

/** Settings of `dfget daemon`: flag, DAMSELFLY_* variable or /etc/damselfly/daemon.yaml. */
export const daemonConfig = z.object({
  proxyListen: setting(z.array(proxyListener()).default([{ host: '127.0.0.1', port: 65001 }]), {
    argument: '<[name=]host:port>',
    repeat: true,
    help: 'registry mirror; NAME= makes a listener for one upstream; repeatable (default: 127.0.0.1:65001)',
  }),
  proxyTlsCert: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'PEM file of the certificate by which the registry mirror speaks HTTPS; read again when it changes (default: plain HTTP)',
  }),
  proxyTlsKey: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'PEM file of the key of --proxy-tls-cert',
  }),
  proxyHost: setting(z.array(z.string().toLowerCase()).default([]), {
    argument: '<name>',
    repeat: true,
    help: "a name by which clients on this machine reach the mirror, besides addresses, localhost and the upstreams' names; repeatable",
  }),
  plainProxy: setting(toggle().default(false), {
    help: 'the mirror or the forward proxy may listen beyond this machine without TLS: credentials of clients travel in the clear; said at each start (with --insecure implied)',
  }),
  forwardProxy: setting(address().optional(), {
    argument: '<host:port>',
    help: 'also a proxy for HTTPS_PROXY, which answers for the upstreams with its own CA (default: off)',
  }),
  forwardRule: setting(z.array(forwardRule()).default([]), {
    argument: '<[direct] [use-https] regex>',
    repeat: true,
    help: 'what the forward proxy does with addresses that match: past the swarm, https for http; the first one counts',
  }),
  peerListen: setting(address().default({ host: '0.0.0.0', port: 65002 }), {
    argument: '<host:port>',
    help: 'where other nodes connect for pieces (default: 0.0.0.0:65002)',
  }),
  adminListen: setting(address().default({ host: '127.0.0.1', port: 65003 }), {
    argument: '<host:port>',
    help: 'health and metrics (default: 127.0.0.1:65003)',
  }),
  adminTokenFile: settings.adminTokenFile,
  socket: setting(z.string().min(1).default(DEFAULT_SOCKET), {
    argument: '<path>',
    help: `local socket of the other dfget commands (default: ${DEFAULT_SOCKET})`,
  }),
  upgrade: setting(toggle().default(false), {
    help: 'take the place of the daemon behind --socket, if there is one, without a request being dropped',
  }),
  pidFile: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: "keep the process id there, for systemd's PIDFile= (default: nowhere)",
  }),
  drainTimeout: settings.drainTimeout,
  tracker: settings.tracker,
  discovery: settings.discovery,
  bootstrap: settings.bootstrap,
  dhtListen: dhtListen(65006),
  clusterKeyFile: settings.clusterKeyFile,
  upstream: settings.upstream,
  defaultUpstream: setting(z.string().toLowerCase().optional(), {
    argument: '<name>',
    help: 'upstream of requests that name none (default: the only one configured, if there is one)',
  }),
  offlineRegistry: setting(z.array(registryName()).default([]), {
    argument: '<name>',
    repeat: true,
    help: 'a registry that is not there: its images are those of "dfget cache import", and everybody may read them; repeatable',
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
  cacheAfterPull: setting(cacheAfterPull().optional(), {
    argument: '<keep|time|drop>',
    help: 'how long a blob stays in the store after the last client of this node has read it, and is seeded: for good, such as 30m, or until nobody reads it (default: keep)',
  }),
  containerdRoot: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: "share blobs from containerd's own store as well, which is only read: /var/lib/containerd (default: off)",
  }),
  prefetch: setting(z.enum(['off', 'image']).default('off'), {
    argument: '<off|image>',
    help: 'image: fetch all layers once a client has been given their manifest, after what clients wait for (default: off)',
  }),
  verify: setting(z.enum(['piece', 'whole-blob']).default('piece'), {
    argument: '<piece|whole-blob>',
    help: 'what has matched before a client gets its bytes: their piece, and the digest before the last 64 KiB; or the digest of the whole blob, so that no client ever sees a wrong byte and each waits for all of a blob (default: piece)',
  }),
  scrubRate: settings.scrubRate,
  bufferMemory: settings.bufferMemory,
  uploadRate: settings.uploadRate,
  downloadRate: settings.downloadRate,
  registryRate: settings.registryRate,
  maxConnections: settings.maxConnections,
  background: settings.background,
  btListen: setting(address().default({ host: '0.0.0.0', port: 65007 }), {
    argument: '<host:port>',
    help: 'where BitTorrent clients connect, while something is shared with them (default: 0.0.0.0:65007)',
  }),
  btTracker: setting(z.array(httpUrl()).default([]), {
    argument: '<url>',
    repeat: true,
    help: "where BitTorrent clients announce what is shared: a tracker's public port as they reach it; repeatable (default: as --enroll, or port 8401 of each tracker)",
  }),
  btUploadRate: setting(rate().optional(), {
    argument: '<rate>',
    help: 'most that is sent to BitTorrent clients, such as 100MB/s (default: none)',
  }),
  advertise: settings.advertise,
  zone: settings.zone,
  zoneFile: settings.zoneFile,
  zoneCidr: settings.zoneCidr,
  label: settings.label,
  logLevel: settings.logLevel,
  otlpEndpoint: settings.otlpEndpoint,
  insecure: settings.insecure,
  joinToken: settings.joinToken,
  enroll: settings.enroll,
  tlsCert: settings.tlsCert,
  tlsKey: settings.tlsKey,
  tlsCa: settings.tlsCa,
});

export type DaemonConfig = z.output<typeof daemonConfig>;
