/** Without a byte for so long, although peers are there, the node reads from the registry itself. */
const STALL_MS = 2000;
/**
 * The same beside a living supernode: slow is not failed, and it reads the registry for everybody already. With the
 * spread and a tick it stays under the 5 s after which clients think that nobody answers.
 */
const SEEDED_STALL_MS = 4600;
/**
 * A client has waited so long for one piece while its supernode lives: that is asked for it. Long enough that a swarm
 * which is only slow has brought it, and so early that the supernode can before the node would read for itself.
 */
const WANT_MS = 2000;
/** And asked again: what it cannot give yet it forgets soon. */
const WANT_AGAIN_MS = 1000;
/**
 * Before that a node that is linked to no supernode, though there are some, asks the tracker for one: beside it there is
 * more patience. So it has half a second to be linked.
 */
const SEEK_MS = 1500;
/** The same when nobody is there who could send one. */
const ALONE_MS = 500;
/** The same when a tracker still has to say who is there: in a crowd it takes its time, and a dead one never does. */
const ASKED_MS = 3000;
/**
 * Others were to read what comes next, or it is only slow: after so long the node reads past them what its client needs
 * next. With half a second for the question and the read it stays under those 5 s.
 */
const ASIDE_MS = 4000;
/** The same while nobody says who may have it, nor that he works on it: the first byte is there before 2.5 s. */
const UNHEARD_MS = 1800;
/** The same when nobody is there who could send it on. */
const ALONE_ASIDE_MS = 1500;
/** Nobody sends on what one has read for all: so long that one who still reads has shown it. */
const FORSAKEN_MS = 4500;
/** After so long a client gets its bytes without anybody's leave. */
const LAST_RESORT_MS = 20_000;
/** A node that steps aside goes on believing for so long that the swarm is only slow, while it brings other blobs. */
const SILENT_MS = 10_000;
/** Nodes do not all step in at the same instant, but up to this share of the wait later. */
const SPREAD = 0.2;
const SEEDED_SPREAD = 0.04;

/** What a node knows that waits for bytes of a blob. Times in milliseconds. */
export interface Waiting {
  /** Since bytes last came, or since the blob is wanted. */
  readonly idleMs: number;
  /** Somebody is there, or on the way, who could send some. */
  readonly company: boolean;
  /** Whoever is there: slow is no sign of trouble. */
  readonly patient: boolean;
  /** A tracker that can be reached has been asked who is there, and has not answered. */
  readonly owed: boolean;
  /** Since it last answered; those that it named have to be dialled first. Infinity = never. */
  readonly answeredMs: number;
}

/**
 * Whether the node has waited long enough, and reads from the registry itself.
 * @param share 0 to 1, differs from node to node: how much of the spread it waits beyond the others
 */
export function stepsIn({ idleMs, company, patient, owed, answeredMs }: Waiting, share: number): boolean {
  const spread = 1 + (patient ? SEEDED_SPREAD : SPREAD) * share;
  if (company) return idleMs >= (patient ? SEEDED_STALL_MS : STALL_MS) * spread;
  if (idleMs >= ASKED_MS * spread) return true;
  return !owed && Math.min(idleMs, answeredMs) >= ALONE_MS * spread;
}

/**
 * Whether the node, whose neighbours give it nothing, asks for a supernode before it reads past them.
 * @param share as above: of a crowd that loses its supernode, not all ask the tracker in the same instant
 */
export function seeksSupernode({ idleMs, company, patient }: Waiting, share: number): boolean {
  return company && !patient && idleMs >= SEEK_MS * (1 + SPREAD * share);
}

/**
 * Whether the client has waited too long for its next piece, while others come: then the node reads past them what its
 * client needs next.
 * @param share as above
 */
export function isOvertaken(waitedMs: number, share: number): boolean {
  return waitedMs >= SEEDED_STALL_MS * (1 + SEEDED_SPREAD * share);
}

/**
 * Whether the client has waited so long for its next piece that its supernodes are asked for that very one.
 * @param askedMs since they were last asked for any of the blob; Infinity = never
 * @param share as above
 */
export function asksSeed(waitedMs: number, askedMs: number, share: number): boolean {
  return waitedMs >= WANT_MS * (1 + SPREAD * share) && askedMs >= WANT_AGAIN_MS;
}

/**
 * How long a node looks away that may not read now: not past the moment from which its client has waited too long.
 * @param retryMs what it was told
 * @param share as above
 */
export function looksAwayMs(retryMs: number, waitedMs: number, share: number): number {
  const leftMs = SEEDED_STALL_MS * (1 + SEEDED_SPREAD * share) - waitedMs;
  return leftMs > 0 ? Math.min(retryMs, leftMs) : retryMs;
}

/**
 * Whether the client has waited too long for supernodes that have yet to say whether its node may have the blob.
 * @param heard whether one of them works on it
 * @param share as above
 */
export function isLeftWaiting(waitedMs: number, heard: boolean, share: number): boolean {
  return heard ? isOvertaken(waitedMs, share) : waitedMs >= UNHEARD_MS * (1 + SEEDED_SPREAD * share);
}

/** Whether the node reads what its client needs next, whoever else was to read it. Others must have been asked before. */
export function stepsAside({ idleMs, company }: Pick<Waiting, 'idleMs' | 'company'>): boolean {
  return idleMs >= (company ? ASIDE_MS : ALONE_ASIDE_MS);
}

/**
 * Whether the swarm, past which the node reads, does no more for the blob: that is more than slow. Where it is busy with
 * other blobs of the node, each in turn may have to wait.
 * @param sinceMs when the node first read past it since a peer last gave something of the blob
 * @param anyMs when a peer last gave something of any blob
 */
export function isSilent(nowMs: number, sinceMs: number, anyMs: number): boolean {
  return anyMs < sinceMs || nowMs - sinceMs >= SILENT_MS;
}

/** Whether nothing at all has come for so long that whoever has read the blob for everybody gives it to nobody. */
export function isForsaken({ idleMs }: Pick<Waiting, 'idleMs'>): boolean {
  return idleMs >= FORSAKEN_MS;
}

/** Whether the client has waited so long that nobody is asked any more. */
export function takesItself({ idleMs }: Pick<Waiting, 'idleMs'>): boolean {
  return idleMs >= LAST_RESORT_MS;
}
