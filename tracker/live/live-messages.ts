/** What the tracker tells the live page, each as one server-sent event. The first one a page gets is `full`. */
export interface LiveMessage {
  /** Replaces all that the page knows. */
  readonly full?: true;
  /** Grows by one with each refresh. */
  readonly refresh: number;
  /** Milliseconds since the epoch, and until the next one. */
  readonly atMs: number;
  readonly everyMs: number;
  readonly totals: LiveTotals;
  /** Members that are new or whose numbers changed. */
  readonly members: readonly LiveMember[];
  /** Numbers of members that left. */
  readonly gone: readonly number[];
  /** Swarms that are new or changed; one with no sharers is over. */
  readonly swarms: readonly LiveSwarm[];
  /** Swarm, member, percent of its pieces that are there (-1: shares it no more), clients that read it there. */
  readonly have: readonly (readonly [swarm: number, member: number, percent: number, readers: number])[];
  /** From member, to member, bytes since the last refresh: the widest ones. */
  readonly edges: readonly (readonly [from: number, to: number, bytes: number])[];
  /** Nodes whose clients wait, the slowest first. */
  readonly slow: readonly LiveSlow[];
  /** The newest first. */
  readonly bans: readonly LiveBan[];
  /** Preheat jobs and plans, the newest first; absent: as before. */
  readonly preheats?: readonly LivePreheat[];
}

/** Sums over the members that are connected and have reported; counts as in the tracker's metrics. */
export interface LiveTotals {
  readonly members: number;
  readonly supernodes: number;
  readonly swarms: number;
  readonly reporting: number;
  /** Bytes, as in the members' metrics: received by source, sent to clients. */
  readonly origin: number;
  readonly supernode: number;
  readonly peer: number;
  readonly archive: number;
  readonly objectStore: number;
  readonly toClients: number;
}

export interface LiveMember {
  readonly n: number;
  /** Told once. */
  readonly id?: string;
  readonly role?: 'node' | 'supernode';
  readonly address?: string;
  readonly zone?: string;
  /** Empty until it has reported: it may be of a version that does not. */
  readonly version: string;
  /** As in its metrics. */
  readonly origin: number;
  readonly objectStore: number;
  readonly supernode: number;
  readonly peer: number;
  readonly toPeers: number;
  readonly toClients: number;
}

export interface LiveSwarm {
  readonly n: number;
  /** Told once. */
  readonly digest?: string;
  readonly size?: number;
  /** Nodes and supernodes that share it; those of them that have all of it; nodes whose clients read it. */
  readonly sharers: number;
  readonly complete: number;
  readonly reading: number;
  /** Average percentage of its pieces over nodes. */
  readonly percent: number;
}

export interface LiveSlow {
  readonly member: number;
  readonly swarm: number;
  readonly percent: number;
  /** What its clients waited for longest: a cause of lib/observe/where-time-went.ts; `none` while nothing is known. */
  readonly cause: string;
  /** A member, if it is about one; `registry`. */
  readonly on?: number | 'registry';
  readonly ms: number;
  readonly ofMs: number;
}

export interface LivePreheat {
  readonly id: number;
  readonly what: 'job' | 'plan';
  /** The image, or how the plan is called. */
  readonly name: string;
  /** Which machines. */
  readonly to: string;
  readonly state: string;
  /** Machines that are through, those that failed, and all that are chosen by now. */
  readonly done: number;
  readonly failed: number;
  readonly machines: number;
  /** Why it failed, or is stopped. */
  readonly why?: string;
}

export interface LiveBan {
  readonly by: number;
  /** Short id of who was banned. */
  readonly peer: string;
  readonly reason: string;
  readonly atMs: number;
}
