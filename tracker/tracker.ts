import { randomBytes } from 'node:crypto';
import type { ListenAddress } from '../lib/config/values.ts';
import type { Logger } from '../lib/observe/log.ts';
import type { Clock } from '../lib/runtime/clock.ts';
import type { Rng } from '../lib/runtime/rng.ts';
import { TrackerCore } from '../lib/swarm/tracker-core.ts';
import { type AnnounceServer, createAnnounceServer } from './announce-server.ts';
import { BittorrentSwarms } from './bittorrent-swarms.ts';
import { type ControlServer, createControlServer } from './control-server.ts';
import { Members } from './members.ts';
import { createTrackerMetrics } from './metrics.ts';

export interface TrackerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
}

export interface TrackerOptions {
  /** Members' control connections, health and metrics. */
  readonly control: ListenAddress;
  /** Standard BitTorrent clients. `udp`: default the host and port of `http`; false for none. */
  readonly announce: { readonly http: ListenAddress; readonly udp?: ListenAddress | false };
  /** Metrics of the process itself; off where several trackers share one. @default true */
  readonly processMetrics?: boolean;
}

export interface Tracker {
  readonly controlAddress: ListenAddress;
  readonly httpAddress: ListenAddress;
  readonly udpAddress?: ListenAddress;
  /** Ends within two seconds, whatever the members do. A second call waits for the first. */
  close(): Promise<void>;
}

/**
 * Starts a tracker. It keeps nothing on disk: an empty one that takes its place hears everything again from members.
 * @throws CONFIG_INVALID when an address cannot be listened on
 */
export async function createTracker(deps: TrackerDeps, options: TrackerOptions): Promise<Tracker> {
  const { log, clock, rng } = deps;
  const metrics = createTrackerMetrics({ defaults: options.processMetrics !== false });
  const members = new Members({ log, clock, metrics, core: new TrackerCore({}, rng) });
  const trackerId = randomBytes(20).toString('hex');
  let control: ControlServer | undefined;
  let announce: AnnounceServer;
  try {
    control = await createControlServer({ log, clock, members, metrics, trackerId }, options.control);
    const swarms = new BittorrentSwarms({ clock, rng });
    announce = await createAnnounceServer({ log, clock, swarms, metrics }, options.announce);
  } catch (error) {
    await control?.close();
    members.close();
    throw error;
  }
  const { address } = control;
  const { httpAddress, udpAddress } = announce;
  log.info({ control: address, http: httpAddress, udp: udpAddress }, 'tracker listens');
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await Promise.all([control.close(), announce.close()]);
    members.close();
    log.info('tracker closed');
  };
  return {
    controlAddress: address,
    httpAddress,
    ...(udpAddress === undefined ? {} : { udpAddress }),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
