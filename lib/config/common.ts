import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { setting } from './load.ts';
import { upstream } from './upstream.ts';
import {
  address,
  advertised,
  connections,
  dataDir,
  duration,
  httpsUrl,
  label,
  logLevel,
  otlpUrl,
  plainRate,
  rate,
  share,
  size,
  toggle,
  trackerUrl,
  zoneName,
  zoneRule,
} from './values.ts';

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

/** `--data-dir` of a process that stores blobs. */
export const dataDirs = (part: string) =>
  setting(
    z
      .array(dataDir())
      .min(1)
      .default([{ folder: defaultDataDir(part), weight: 1 }]),
    {
      argument: '<path[=weight]>',
      repeat: true,
      help: `blobs and their records; repeat it for several disks, which share blobs by weight (default: ${defaultDataDir(part)})`,
    },
  );

const DRAIN_MS = 30_000;
/** `--dht-listen` of a process that shares blobs. */
export const dhtListen = (port: number) =>
  setting(address().default({ host: '0.0.0.0', port }), {
    argument: '<host:port>',
    help: `where the DHT listens, once it is needed; another port if that one is taken (default: 0.0.0.0:${port})`,
  });

export const settings = {
  drainTimeout: setting(duration().default(DRAIN_MS), {
    argument: '<time>',
    help: 'how long answers under way may take once the process is told to stop; a second signal stops it at once (default: 30s)',
  }),
  advertise: setting(advertised().optional(), {
    argument: '<host[:port]>',
    help: 'how other machines reach the peer port (default: the address the tracker sees us come from)',
  }),
  tracker: setting(z.array(trackerUrl()).default([]), {
    argument: '<url>',
    repeat: true,
    help: 'control address of a tracker, such as wss://tracker.corp:8400 (ws:// with --insecure); repeat for several',
  }),
  discovery: setting(z.enum(['auto', 'tracker', 'dht']).default('auto'), {
    argument: '<auto|tracker|dht>',
    help: 'how peers are found. auto: by trackers, and by a distributed hash table (DHT) while none answers; dht: without any tracker (default: auto)',
  }),
  bootstrap: setting(z.array(address()).default([]), {
    argument: '<host:port>',
    repeat: true,
    help: 'peer port of a process by which the DHT is joined, besides the last 64 peers, which are remembered; repeatable',
  }),
  clusterKeyFile: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'secret that the whole cluster has in common: the DHT is closed to whoever does not have it, and members on one LAN find each other (default: an open DHT)',
  }),
  adminTokenFile: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'file with a token that whoever asks the admin port for more than /healthz and /readyz must send: Authorization: Bearer TOKEN (default: nobody need)',
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
  zone: setting(zoneName().default(''), {
    argument: '<zone>',
    help: 'where this machine is, as a path such as eu/fra: peers of one zone prefer each other, and use its supernodes, or those of the zone around it',
  }),
  zoneFile: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'file with the zone, unless --zone says it: the zone alone, or the labels topology.kubernetes.io/region and topology.kubernetes.io/zone as Kubernetes writes them there, which make REGION/ZONE',
  }),
  zoneCidr: setting(z.array(zoneRule()).default([]), {
    argument: '<cidr=zone>',
    repeat: true,
    help: 'the zone of machines with an address in that network, unless they say another: 10.1.0.0/16=eu/fra; the first that fits counts; repeatable',
  }),
  label: setting(z.array(label()).max(32).default([]), {
    argument: '<key=value>',
    repeat: true,
    help: 'by what, besides its zone, this machine can be chosen for preheating: pool=gpu; repeatable',
  }),
  logLevel: setting(logLevel().default('info'), {
    argument: '<level>',
    help: 'debug, info, warn, error or silent (default: info)',
  }),
  otlpEndpoint: setting(otlpUrl().optional(), {
    argument: '<url>',
    help: 'a collector of OpenTelemetry that is sent spans of pulls by OTLP over HTTP, such as http://collector.corp:4318 (default: OTEL_EXPORTER_OTLP_ENDPOINT, else none)',
  }),
  insecure: setting(toggle().default(false), {
    help: 'plain connections without identities: only for a network where everyone is trusted; said at each start',
  }),
  joinToken: setting(z.string().min(1).optional(), {
    argument: '<token>',
    secret: true,
    help: 'makes this process a member of the cluster at its first start; "damselfly token create" makes one',
  }),
  enroll: setting(z.array(httpsUrl()).default([]), {
    argument: '<url>',
    repeat: true,
    help: "where to become a member and to stay one: a tracker's public port; repeatable (default: port 8401 of each tracker)",
  }),
  tlsCert: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'PEM file of our certificate by an authority of your own, read again each minute; its one URI name is spiffe://CLUSTER/ROLE/NAME',
  }),
  tlsKey: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'PEM file of the key of --tls-cert',
  }),
  tlsCa: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'PEM file of the authority that all members of the cluster are certified by',
  }),
  storeMax: setting(size().optional(), {
    argument: '<size>',
    help: 'most that the store may hold, such as 200GiB; shared among data directories by weight (default: as much as the disks do)',
  }),
  storeHigh: setting(share().default(0.9), {
    argument: '<share>',
    help: 'blobs unused for longest go once more than this share of --store-max, or of a disk, is taken (default: 90%)',
  }),
  storeLow: setting(share().default(0.8), {
    argument: '<share>',
    help: '... until no more than this share is taken (default: 80%)',
  }),
  storeTtl: setting(duration().optional(), {
    argument: '<time>',
    help: 'blobs that were not used for so long go, such as 30d (default: never)',
  }),
  scrubRate: setting(plainRate().default(8 * MIB), {
    argument: '<rate>',
    help: 'bytes per second that are read to find bad media, 0 for none (default: 8MiB/s)',
  }),
  bufferMemory: setting(size().default(256 * MIB), {
    argument: '<size>',
    help: 'memory for pieces on their way (default: 256MiB)',
  }),
  uploadRate: setting(rate().optional(), {
    argument: '<rate>',
    help: 'most that is sent to peers, such as 100MB/s (default: none; with --background 16MiB/s)',
  }),
  downloadRate: setting(rate().optional(), {
    argument: '<rate>',
    help: 'most that is received, from peers and registries together (default: none)',
  }),
  borderRate: setting(rate().optional(), {
    argument: '<rate>',
    help: 'most that this supernode fetches from supernodes of other zones (default: none)',
  }),
  registryRate: setting(rate().optional(), {
    argument: '<rate>',
    help: 'most that is read from registries (default: none)',
  }),
  maxConnections: setting(connections().optional(), {
    argument: '<number>',
    help: 'connections that the peer port holds at once (default: 1024; with --background 128)',
  }),
  background: setting(toggle().default(false), {
    help: 'stay out of the way of other work: lowest scheduling priority, one transfer each way at a time, low limits',
  }),
};
