import { z } from 'zod';
import { defaultDataDir, settings } from '../lib/config/common.ts';
import { setting } from '../lib/config/load.ts';
import { type Networks, parseNetworks } from '../lib/config/networks.ts';
import { address, redisUrl, refuse } from '../lib/config/values.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { hostKind } from '../lib/origin/address-kind.ts';
import type { KubernetesScope } from './kubernetes/watch-kubernetes.ts';
import { parseNodeChoice } from './preheat/node-choice.ts';
import { type PreheatRegistry, parsePreheatRegistry } from './preheat/registry-names.ts';

/** Where a tracker with an identity answers who has none: load balancers, Prometheus. */
export const DEFAULT_ADMIN = { host: '127.0.0.1', port: 65006 } as const;

/** What `parse` takes, with what it says when it does not. */
const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      return refuse(context, (error as Error).message.replace(/^.*?expected /, ''));
    }
  });
/** Not to be guessed, and as it is in a header, a cookie and an address. */
const TOKEN = /^[0-9A-Za-z._~-]{16,256}$/;
/** `10.0.0.0/8,fd00::/8` */
const networks = () =>
  z
    .string()
    .transform(
      (text, context): Networks =>
        parseNetworks(text) ?? refuse(context, 'networks, such as 10.0.0.0/8,fd00::/8'),
    );

/** `annotated`, or `shop,web`. */
const kubernetesScope = () =>
  z.string().transform((text, context): KubernetesScope => {
    if (text === 'annotated') return { namespaces: [] };
    const namespaces = text.split(',').map((name) => name.trim());
    if (namespaces.every((name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))) return { namespaces };
    return refuse(context, 'annotated, or namespaces such as shop,web');
  });

/** Where the service account's token is sent. */
const kubernetesUrl = () =>
  z.url({ protocol: /^https?$/ }).refine(
    (text) => {
      const url = new URL(text);
      return url.protocol === 'https:' || hostKind(url) === 'loopback';
    },
    { error: 'expected https://...: over http:// its token would travel in clear (but to this machine)' },
  );

function parseOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && text.replace(/\/$/, '') === url.origin) {
    return url.origin;
  }
  throw new DamselflyError('CONFIG_INVALID', 'expected an origin, such as https://prometheus.corp');
}

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
  adminTokenFile: settings.adminTokenFile,
  liveToken: setting(
    z
      .string()
      .regex(TOKEN, 'expected 16 to 256 letters, digits, or . _ ~ -; try: openssl rand -hex 16')
      .optional(),
    {
      argument: '<text>',
      secret: true,
      help: 'who has it may watch the live page (/live?token=TEXT) from elsewhere; better DAMSELFLY_LIVE_TOKEN (default: this machine alone)',
    },
  ),
  dataDir: setting(z.string().min(1).default(defaultDataDir('tracker')), {
    argument: '<folder>',
    help: `the tracker's own key and certificate, and its preheat jobs (default: ${defaultDataDir('tracker')})`,
  }),
  caDir: setting(z.string().min(1).default(defaultDataDir('ca')), {
    argument: '<folder>',
    help: `the cluster's authority, as "damselfly ca init" makes it (default: ${defaultDataDir('ca')})`,
  }),
  preheatRegistry: setting(z.array(parsed<PreheatRegistry>(parsePreheatRegistry)).default([]), {
    argument: '<name[=host]>',
    repeat: true,
    help: 'a registry whose images may be preheated, and another name for it in URLs of notifications: harbor.corp=registry:5000; repeatable (default: every upstream of the supernodes)',
  }),
  preheatNodes: setting(
    parsed((text) => {
      parseNodeChoice(text);
      return text;
    }).default('supernodes'),
    {
      argument: '<supernodes|all|N|N%|zone=...|label=...>',
      help: 'whom images are brought to when a job does not say, such as those of webhooks (default: supernodes)',
    },
  ),
  preheatHealth: setting(z.array(parsed(parseOrigin)).default([]), {
    argument: '<origin>',
    repeat: true,
    help: 'a server whose URLs the gate of a preheat plan may have asked, such as https://prometheus.corp; repeatable (default: none)',
  }),
  apiKeyFile: setting(z.string().min(1).optional(), {
    argument: '<path>',
    help: 'keys for the API: lines "bearer TOKEN", "basic USER:PASSWORD" or "header NAME: VALUE"; read again when it changes (default: only members and this machine may use it)',
  }),
  peerStore: setting(redisUrl().optional(), {
    argument: '<memory|url>',
    help: 'where trackers share who has what, and leases: redis://:PASSWORD@host:6379/0, rediss:// or unix:///path; any of them then answers for any blob (default: memory, each by itself)',
  }),
  watchKubernetes: setting(kubernetesScope().optional(), {
    argument: '<annotated|namespace,...>',
    help: 'preheat the images of Deployments, DaemonSets and StatefulSets as soon as they name them: of those with the annotation damselfly.io/preheat: "true", or of all in these namespaces but for those that say "false" (default: off)',
  }),
  kubernetesApi: setting(kubernetesUrl().optional(), {
    argument: '<url>',
    help: 'the API server of --watch-kubernetes; http:// only to this machine, such as "kubectl proxy", since the token would travel in clear (default: that of the cluster whose pod this is)',
  }),
  kubernetesAccount: setting(z.string().min(1).optional(), {
    argument: '<folder>',
    help: 'with the files token and ca.crt of the service account for it (default: where Kubernetes puts them in a pod)',
  }),
  zoneCidr: settings.zoneCidr,
  joinToken: settings.joinToken,
  enroll: settings.enroll,
  tlsCert: settings.tlsCert,
  tlsKey: settings.tlsKey,
  tlsCa: settings.tlsCa,
  logLevel: settings.logLevel,
  insecure: settings.insecure,
});

export type TrackerConfig = z.output<typeof trackerConfig>;
