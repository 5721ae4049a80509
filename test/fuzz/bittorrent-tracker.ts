import BittorrentServer from 'bittorrent-tracker/server';
import type { Logger } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { swarmOf } from '../../tracker/announce-server.ts';
import { type BittorrentAnnounce, BittorrentSwarms } from '../../tracker/bittorrent-swarms.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';

/** Swarms that remember where peers were said to be. */
class WatchedSwarms extends BittorrentSwarms {
  readonly addresses = new Set<string>();

  override announce(announce: BittorrentAnnounce): ReturnType<BittorrentSwarms['announce']> {
    this.addresses.add(announce.peer.ip);
    return super.announce(announce);
  }
}

/** The tracker's announce parts without their sockets. Swarms hold few peers, so that being full is tested too. */
export function createTestTracker(log: Logger) {
  const swarms = new WatchedSwarms({ clock: new FakeClock(), rng: createRng(1) }, { maxPeers: 50 });
  const metrics = createTrackerMetrics({ defaults: false });
  const tracker = new BittorrentServer({ http: false, udp: false, ws: false, stats: false });
  tracker.getSwarm = (infoHash, callback) =>
    callback(null, swarmOf(infoHash, { swarms, metrics, log, mayAnnounce: () => true }));
  tracker.on('warning', () => {});
  const answers: Buffer[] = [];
  const send = (answer: Buffer): void => void answers.push(answer);
  tracker.udp4 = tracker.udp6 = { send } as never;
  return { answers, swarms, tracker };
}
