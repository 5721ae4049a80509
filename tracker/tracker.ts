import { randomBytes } from 'node:crypto';
import { loadAdminToken } from '../lib/config/load-admin-token.ts';
import type { Networks } from '../lib/config/networks.ts';
import type { ListenAddress } from '../lib/config/values.ts';
import { type ZoneRule, zoneFinder } from '../lib/config/zone-rules.ts';
import type { ClusterSettings } from '../lib/core/cluster-settings.ts';
import type { Digest } from '../lib/core/digest.ts';
import { type AdminServer, joinAddress, startAdminServer } from '../lib/observe/admin-server.ts';
import type { Logger } from '../lib/observe/log.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Rng } from '../lib/runtime/rng.ts';
import type { RunningProcess } from '../lib/runtime/system-process.ts';
import type { ClusterAuthority } from '../lib/security/cluster-authority.ts';
import type { Credentials } from '../lib/security/credentials.ts';
import { warrantPapers } from '../lib/security/read-warrant.ts';
import { Signatures } from '../lib/security/signatures.ts';
import { setterOf, settingsOfNewAuthority } from '../lib/security/signed-settings.ts';
import type { KeyValue } from '../lib/store/key-value/key-value.ts';
import { TrackerCore } from '../lib/swarm/tracker-core.ts';
import { AnnounceGate } from './announce-gate.ts';
import { AnnounceQueue } from './announce-queue.ts';
import { type AnnounceServer, createAnnounceServer } from './announce-server.ts';
import { type ApiOptions, openApi } from './api/open-api.ts';
import { BittorrentShares } from './bittorrent-shares.ts';
import { BittorrentSwarms } from './bittorrent-swarms.ts';
import { type ControlServer, createControlServer } from './control-server.ts';
import { createEnrolmentRoutes } from './enrolment-routes.ts';
import type { KubernetesDeps, KubernetesScope, KubernetesWatch } from './kubernetes/watch-kubernetes.ts';
import { createLiveRoutes, type LiveRoutes } from './live/live-routes.ts';
import { livePreheats } from './live/preheat-list.ts';
import { WatchCluster } from './live/watch-cluster.ts';
import { Members } from './members.ts';
import { createTrackerMetrics } from './metrics.ts';
import { createMemoryPeerStore } from './peer-store/memory-peer-store.ts';
import { createRedisPeerStore } from './peer-store/redis-peer-store.ts';
import { createShareRoutes } from './share-routes.ts';

/** No tracker grants as many. */
const LEASES_PER_MS = 1000;
/** Of the newest jobs and plans, those that the live page is made from. */
const SHOWN_JOBS = 20;

export interface TrackerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly wallClockMs?: () => number;
  /** Who the tracker is: all its ports are TLS. Without it they are plain. */
  readonly credentials?: Credentials | undefined;
  /** With it the tracker enrols members. */
  readonly authority?: ClusterAuthority | undefined;
  /** Keeps preheat jobs across restarts; the tracker closes it. @default in memory */
  readonly records?: KeyValue | undefined;
}

/** Of {@link TrackerConfig} what a tracker itself needs. */
export interface TrackerOptions extends ApiOptions {
  /** Members' control connections, health and metrics. */
  readonly listen: ListenAddress;
  /** HTTP announce of BitTorrent clients. */
  readonly httpListen: ListenAddress;
  /** From where BitTorrent clients may announce over UDP, where nobody can prove anything. @default nowhere */
  readonly btUdp?: Networks | undefined;
  /** @default host and port of `httpListen` */
  readonly udpListen?: ListenAddress | undefined;
  /** Health and metrics besides: whoever asks for them has no certificate. @default none */
  readonly adminListen?: ListenAddress | undefined;
  /** File with the token of its metrics. */
  readonly adminTokenFile?: string | undefined;
  /** What who is not on this machine has to show to see the live page. @default nobody else sees it */
  readonly liveToken?: string | undefined;
  /** URL of the Redis through which trackers share peers and leases, with its password. @default none: memory alone */
  readonly peerStore?: string | undefined;
  /** Workloads of Kubernetes whose images are preheated. @default none */
  readonly watchKubernetes?: KubernetesScope | undefined;
  /** See {@link KubernetesOptions}. */
  readonly kubernetesApi?: string | undefined;
  readonly kubernetesAccount?: string | undefined;
  /** Zones of members that name none, by their addresses. @default none */
  readonly zoneCidr?: readonly ZoneRule[];
  /** Metrics of the process itself; off where several trackers share one. @default true */
  readonly processMetrics?: boolean;
}

/** A running tracker; `close` ends within two seconds, whatever the members do, and a second call waits for the first. */
export interface Tracker extends RunningProcess {
  readonly controlAddress: ListenAddress;
  readonly httpAddress: ListenAddress;
  /** Absent when UDP is off. */
  readonly udpAddress?: ListenAddress;
}

/**
 * Starts a tracker. But for preheat jobs it keeps nothing: an empty one that takes its place hears everything again
 * from members.
 * @throws CONFIG_INVALID when an address cannot be listened on
 */
export async function createTracker(deps: TrackerDeps, options: TrackerOptions): Promise<Tracker> {
  const { log, clock, rng, authority, credentials, wallClockMs = Date.now } = deps;
  const metrics = createTrackerMetrics({ defaults: options.processMetrics !== false });
  metrics.insecure.set(credentials === undefined ? 1 : 0);
  // Larger than any token of a tracker that this one takes the place of.
  const core = new TrackerCore({ firstLeaseToken: Date.now() * LEASES_PER_MS }, rng);
  const { records } = deps;
  const api = await openApi({ log, clock, metrics, credentials, wallClockMs, records }, options);
  const peerStore =
    options.peerStore === undefined
      ? createMemoryPeerStore(core, clock)
      : await createRedisPeerStore({ core, clock, rng, log, metrics }, options.peerStore);
  const signatures = credentials === undefined ? undefined : new Signatures(credentials);
  const warrantFor =
    signatures === undefined
      ? undefined
      : (node: string, digest: Digest) => warrantPapers(signatures, { digest, node, atMs: wallClockMs() });
  const onLeft = (id: string): void => api.jobs.left(id);
  const obeys = (settings: ClusterSettings): boolean =>
    credentials === undefined || setterOf(credentials, settings).kind !== 'refused';
  const members = new Members({ log, clock, metrics, core, peerStore, onLeft, obeys, warrantFor });
  const forgetTrust = credentials && followTrust(credentials, members);
  const announcements = new AnnounceQueue(clock);
  const trackerId = randomBytes(20).toString('hex');
  let control: ControlServer | undefined;
  let announce: AnnounceServer | undefined;
  let admin: AdminServer | undefined;
  let live: LiveRoutes | undefined;
  let kubernetes: KubernetesWatch | undefined;
  const notes = (): readonly string[] => [...peerStore.notes, ...(kubernetes?.notes ?? [])];
  try {
    const adminToken = loadAdminToken(options.adminTokenFile);
    kubernetes = await openKubernetes({ log, clock, rng, metrics, jobs: api.jobs }, options);
    control = await createControlServer(
      {
        ...{ log, clock, members, announcements, metrics, trackerId, wallClockMs, credentials },
        ...{ adminToken, notes, reachedAt: (address) => peerStore.reachedAt(address) },
        zoneOf: zoneFinder(options.zoneCidr ?? []),
        preheat: api.jobs,
        plans: api.plans,
      },
      options.listen,
    );
    const swarms = new BittorrentSwarms({ clock, rng });
    const preheats = () =>
      livePreheats(api.jobs.list(SHOWN_JOBS, { ofPlans: false }), api.plans.list(SHOWN_JOBS));
    const cluster = new WatchCluster({ clock, members, wallClockMs, preheats });
    members.listen(cluster);
    live = createLiveRoutes({ clock, cluster, log, token: options.liveToken });
    const { answers: showsCluster } = live;
    const shares = new BittorrentShares({ clock, ended: (infoHash) => swarms.forget(infoHash) });
    const gate = new AnnounceGate({ shares, credentials, wallClockMs });
    const enrols =
      authority &&
      credentials &&
      createEnrolmentRoutes({ authority, credentials, log, metrics, wallClockMs });
    const takesShares = createShareRoutes({ shares, credentials, log, metrics });
    const { btUdp, httpListen, udpListen } = options;
    announce = await createAnnounceServer(
      {
        ...{ clock, credentials, gate, log, metrics, shares, swarms },
        alsoAnswers: (request, response) =>
          showsCluster(request, response) ||
          api.answer(request, response) ||
          takesShares(request, response) ||
          enrols?.(request, response) === true,
      },
      { http: httpListen, udp: btUdp && { from: btUdp, at: udpListen } },
    );
    if (options.adminListen !== undefined) {
      const { registry } = metrics;
      admin = await startAdminServer({
        ...options.adminListen,
        token: adminToken,
        registry,
        checks: () => ({ listening: true }),
        moreNotes: notes,
      });
    }
  } catch (error) {
    live?.close();
    await kubernetes?.close();
    await control?.close();
    await announce?.close();
    forgetTrust?.();
    announcements.close();
    members.close();
    await api.close();
    await peerStore.close();
    throw error;
  }
  const addresses = { ...addressesOf(control.address, announce), ...(admin && { admin: admin.address }) };
  log.info(addresses, 'tracker runs');
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    live.close();
    await kubernetes?.close();
    await peerStore.close();
    await Promise.all([control.close(), announce.close(), admin?.close()]);
    forgetTrust?.();
    announcements.close();
    members.close();
    await api.close();
    log.info('tracker closed');
  };
  return {
    controlAddress: control.address,
    httpAddress: announce.httpAddress,
    ...(announce.udpAddress === undefined ? {} : { udpAddress: announce.udpAddress }),
    ready: { process: 'tracker', pid: process.pid, ...addresses },
    summary:
      (credentials === undefined
        ? `tracker: control on ws://${addresses.listen}, announce on http://${addresses.http}`
        : `tracker: control on wss://${addresses.listen}, enrolment and announce on https://${addresses.http}`) +
      (addresses.udp === undefined ? '' : ` and udp://${addresses.udp}`) +
      `\n  live page on ${livePage(announce.httpAddress, credentials !== undefined)}`,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** @throws CONFIG_INVALID */
async function openKubernetes(
  deps: KubernetesDeps,
  { kubernetesAccount: account, kubernetesApi: api, watchKubernetes: scope }: TrackerOptions,
): Promise<KubernetesWatch | undefined> {
  if (scope === undefined) return undefined;
  // Loaded by trackers that watch one.
  const { watchKubernetes } = await import('./kubernetes/watch-kubernetes.ts');
  return watchKubernetes(deps, { ...scope, api, account });
}

/** Members hear of what the authority signs, and of settings that a new one vouches for. @returns ends it */
function followTrust(credentials: Credentials, members: Members): () => void {
  const forgetTrust = credentials.onTrust(() => members.tellAll({ type: 'trust', ...credentials.news }));
  const forgetRenewed = credentials.onRenewed(() => {
    const settings = members.settings && settingsOfNewAuthority(credentials, members.settings);
    if (settings !== undefined) members.set(settings, credentials.id);
  });
  return () => {
    forgetTrust();
    forgetRenewed();
  };
}

function addressesOf(control: ListenAddress, { httpAddress, udpAddress }: AnnounceServer) {
  const written = ({ host, port }: ListenAddress): string => joinAddress(host, port);
  return {
    listen: written(control),
    http: written(httpAddress),
    ...(udpAddress === undefined ? {} : { udp: written(udpAddress) }),
  };
}

/** As a browser on this machine may ask for it. */
function livePage({ host, port }: ListenAddress, secure: boolean): string {
  const isEverywhere = host === '0.0.0.0' || host === '::';
  return `${secure ? 'https' : 'http'}://${joinAddress(isEverywhere ? 'localhost' : host, port)}/live`;
}
