import { MOST_OWNERS } from '../../lib/swarm/stripes.ts';

/** What the network and the machines cost beyond the bytes on the links. Times in milliseconds. */
export interface Profile {
  readonly name: 'reference' | 'daemon';
  /** Whether messages about free slots and offers take the latency of a message, or no time at all. */
  readonly hintsTakeTime: boolean;
  /** A node tells its neighbours of its pieces at once, but no more often than this. */
  readonly haveDelayMs: number;
  /** CPU seconds for a GB (1e9 bytes) received; what sending costs is not charged. */
  readonly cpuSecondsPerGB: {
    /** Of the thread that does one piece after the other: receiving it, and holding it against its proof. */
    readonly check: number;
    /** Of threads beside it, several pieces at a time: writing it. It counts then. */
    readonly write: number;
    /** Of the first thread again, after the piece counts: its part of the digest of the whole blob. */
    readonly digest: number;
  };
  /** The tracker's time to read a message or to write one, and for each blob of one; announcements wait in line. */
  readonly messageMs: number;
  readonly announceMs: number;
  /** Whether finding the registry's answers, the tracker and the neighbours takes their round trips. */
  readonly joinTakesTime: boolean;
  /** Supernodes that read one blob from the registry between them; Infinity = all. */
  readonly owners: number;
  /** Whether they read stripes, and small blobs one of them alone; or else single pieces in turn. */
  readonly stripes: boolean;
  /** How long after a silent crash a link counts as broken. */
  readonly linkLostMs: number;
}

/** For comparison with theory: decisions and bandwidth, nothing else. */
const REFERENCE: Profile = {
  name: 'reference',
  hintsTakeTime: false,
  haveDelayMs: 0,
  cpuSecondsPerGB: { check: 0, write: 0, digest: 0 },
  messageMs: 0,
  announceMs: 0,
  joinTakesTime: false,
  owners: Number.POSITIVE_INFINITY,
  stripes: false,
  linkLostMs: 5000,
};

/** What the daemons do, with costs from the micro benches. */
const DAEMON: Profile = {
  name: 'daemon',
  hintsTakeTime: true,
  haveDelayMs: 10,
  // Least of several runs on a shared virtual machine, with pieces of 4 MiB: 0.21 to receive alone,
  // 0.56 for the SHA-256 of the piece and 0.55 for that of the whole blob (both with SHA extensions), 0.36 for the write
  // with its record, which threads beside the event loop do for the most part. In that order, as in
  // lib/transfer/peers/downloads.ts and piece-sink.ts.
  cpuSecondsPerGB: { check: 0.77, write: 0.36, digest: 0.55 },
  // bench/micro/tracker-costs, several runs: 14 to 16 microseconds of the tracker's main thread to read a message or to
  // write one, more than a third of it in the kernel, and 2.3 to 2.5 for each blob of it.
  messageMs: 0.015,
  announceMs: 0.0025,
  joinTakesTime: true,
  // As TrackerCore names them. What supernodes copy from each other afterwards, to check the digest, is not simulated.
  owners: MOST_OWNERS,
  stripes: true,
  linkLostMs: 5000,
};

export const PROFILES: Readonly<Record<Profile['name'], Profile>> = { reference: REFERENCE, daemon: DAEMON };
