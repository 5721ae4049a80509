import { randomBytes } from 'node:crypto';
import type { ListenAddress } from '../lib/config/values.ts';
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
import { TrackerCore } from '../lib/swarm/tracker-core.ts';
import { AnnounceQueue } from './announce-queue.ts';
import { type AnnounceServer, createAnnounceServer } from './announce-server.ts';
import { BittorrentSwarms } from './bittorrent-swarms.ts';
import { type ControlServer, createControlServer } from './control-server.ts';
import { createEnrolmentRoutes } from './enrolment-routes.ts';
import { Members } from './members.ts';
import { createTrackerMetrics } from './metrics.ts';

/** No tracker grants as many. */
const LEASES_PER_MS = 1000;

export interface TrackerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly wallClockMs?: () => number;
  /** Who the tracker is: all its ports are TLS. Without it they are plain. */
  readonly credentials?: Credentials | undefined;
  /** With it the tracker enrols members. */
  readonly authority?: ClusterAuthority | undefined;
}

/** Of {@link TrackerConfig} what a tracker itself needs. */
export interface TrackerOptions {
  /** Members' control connections, health and metrics. */
  readonly listen: ListenAddress;
  /** HTTP announce of BitTorrent clients. */
  readonly httpListen: ListenAddress;
  /** UDP announce of BitTorrent clients; false for none. @default host and port of `httpListen` */
  readonly udpListen?: ListenAddress | false | undefined;
  /** Health and metrics besides: whoever asks for them has no certificate. @default none */
  readonly adminListen?: ListenAddress | undefined;
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
 * Starts a tracker. It keeps nothing on disk: an empty one that takes its place hears everything again from members.
 * @throws CONFIG_INVALID when an address cannot be listened on
 */
export async function createTracker(deps: TrackerDeps, options: TrackerOptions): Promise<Tracker> {
  const { log, clock, rng, authority, credentials, wallClockMs = Date.now } = deps;
  const metrics = createTrackerMetrics({ defaults: options.processMetrics !== false });
  metrics.insecure.set(credentials === undefined ? 1 : 0);
  // Larger than any token of a tracker that this one takes the place of.
  const core = new TrackerCore({ firstLeaseToken: Date.now() * LEASES_PER_MS }, rng);
  const signatures = credentials === undefined ? undefined : new Signatures(credentials);
  const warrantFor =
    signatures === undefined
      ? undefined
      : (node: string, digest: Digest) => warrantPapers(signatures, { digest, node, atMs: wallClockMs() });
  const members = new Members({ log, clock, metrics, core, warrantFor });
  const announcements = new AnnounceQueue(clock);
  const trackerId = randomBytes(20).toString('hex');
  let control: ControlServer | undefined;
  let announce: AnnounceServer | undefined;
  let admin: AdminServer | undefined;
  try {
    control = await createControlServer(
      { log, clock, members, announcements, metrics, trackerId, wallClockMs, credentials },
      options.listen,
    );
    const swarms = new BittorrentSwarms({ clock, rng });
    const alsoAnswers =
      authority &&
      credentials &&
      createEnrolmentRoutes({ authority, credentials, log, metrics, wallClockMs });
    announce = await createAnnounceServer(
      { log, clock, swarms, metrics, credentials, alsoAnswers },
      // Over UDP nobody can prove anything: where identities count it is there only for those who ask for it.
      { http: options.httpListen, udp: options.udpListen ?? (credentials === undefined ? undefined : false) },
    );
    if (options.adminListen !== undefined) {
      const { registry } = metrics;
      admin = await startAdminServer({
        ...options.adminListen,
        registry,
        checks: () => ({ listening: true }),
      });
    }
  } catch (error) {
    await control?.close();
    await announce?.close();
    announcements.close();
    members.close();
    throw error;
  }
  const addresses = { ...addressesOf(control.address, announce), ...(admin && { admin: admin.address }) };
  log.info(addresses, 'tracker runs');
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await Promise.all([control.close(), announce.close(), admin?.close()]);
    announcements.close();
    members.close();
    log.info('tracker closed');
  };
  return {
    controlAddress: control.address,
    httpAddress: announce.httpAddress,
    ...(announce.udpAddress === undefined ? {} : { udpAddress: announce.udpAddress }),
    ready: { process: 'tracker', pid: process.pid, ...addresses },
    summary:
      (credentials === undefined
        ? `tracker: control on ws://${addresses.listen}, announce on http://${addresses.http}/announce`
        : `tracker: control on wss://${addresses.listen}, enrolment and announce on https://${addresses.http}`) +
      (addresses.udp === undefined ? '' : ` and udp://${addresses.udp}/announce`),
    close: () => {
      closing ??= close();
      return closing;
    },
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
