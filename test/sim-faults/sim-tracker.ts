import type { Digest } from '../../lib/core/digest.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Rng, randomHex } from '../../lib/runtime/rng.ts';
import { warrantPapers } from '../../lib/security/read-warrant.ts';
import { Signatures } from '../../lib/security/signatures.ts';
import { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { AnnounceQueue } from '../../tracker/announce-queue.ts';
import { ControlSession } from '../../tracker/control-session.ts';
import { Members } from '../../tracker/members.ts';
import { createTrackerMetrics } from '../../tracker/metrics.ts';
import { createMemoryPeerStore } from '../../tracker/peer-store/memory-peer-store.ts';
import { acceptSimControl } from './sim-control.ts';
import type { SimIdentity } from './sim-identities.ts';
import { processNetwork } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import { CONTROL_PORT, type SimSurroundings } from './surroundings.ts';

/** A machine with a tracker on it: the real sessions and membership. It keeps nothing when it dies. */
export class SimTracker {
  readonly name: string;
  readonly #around: SimSurroundings;
  readonly #log: Logger;
  readonly #rng: Rng;
  readonly #identity: SimIdentity | undefined;
  process: SimProcess | undefined;
  #close: () => void = () => {};

  constructor(name: string, around: SimSurroundings, log: Logger, rng: Rng, identity?: SimIdentity) {
    this.name = name;
    this.#around = around;
    this.#log = log;
    this.#rng = rng;
    this.#identity = identity;
  }

  start(): void {
    const { control, wallClockMs } = this.#around;
    const log = this.#log;
    const process = new SimProcess(this.#around.clock);
    this.process = process;
    const { clock } = process;
    const metrics = createTrackerMetrics({ defaults: false });
    const core = new TrackerCore({}, this.#rng);
    const peerStore = createMemoryPeerStore(core, clock);
    const signatures = this.#identity && new Signatures(this.#identity.credentials);
    const warrantFor =
      signatures &&
      ((node: string, digest: Digest) => warrantPapers(signatures, { digest, node, atMs: wallClockMs() }));
    const members = new Members({ log, clock, metrics, core, peerStore, warrantFor });
    const announcements = new AnnounceQueue(clock);
    const trackerId = randomHex(this.#rng, 20);
    const sessionDeps = { log, clock, members, announcements, metrics, trackerId, wallClockMs };
    void processNetwork(process, control.host(this.name)).listen(
      { host: this.name, port: CONTROL_PORT },
      {
        link: (link) =>
          void new ControlSession(acceptSimControl(process, link), link.remoteHost, sessionDeps),
        piece: () => ({ kind: 'unknown' }),
      },
    );
    this.#close = () => {
      announcements.close();
      members.close();
    };
  }

  kill(): void {
    this.#close();
    this.process?.kill();
    this.process = undefined;
  }
}
