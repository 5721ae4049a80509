import type { PeerInfo } from '../../lib/core/node.ts';
import type { ReportedBlob, ReportedBytes, ReportMessage } from '../../lib/wire/report-messages.ts';
import type { LiveBan, LiveMember, LiveMessage, LiveSlow, LiveSwarm, LiveTotals } from './live-messages.ts';
import { type Have, SwarmView } from './swarm-view.ts';

/** Widest edges in one message. */
const MAX_EDGES = 300;
const MAX_SLOW = 20;
const MAX_BANS = 50;
/** Blobs of one member: a broken one must not make us hold more. */
const MAX_BLOBS_PER_MEMBER = 4096;
/** Swarms together; what comes beyond that is not shown. */
const MAX_SWARMS = 10_000;
const NO_BYTES: ReportedBytes = {
  ...{ origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0 },
  ...{ toPeers: 0, toClients: 0 },
};

interface Member {
  readonly n: number;
  readonly info: PeerInfo;
  version: string;
  reported: boolean;
  bytes: ReportedBytes;
  /** Its handle of a blob -> the swarm. */
  readonly blobs: Map<number, SwarmView>;
  slow: ReportMessage['slow'];
}

type Counts = Pick<LiveTotals, 'members' | 'supernodes' | 'swarms'>;
type Stamp = Pick<LiveMessage, 'refresh' | 'atMs' | 'everyMs'>;

/**
 * The cluster as its members report it, for people who watch: pure, and no larger than what is going on. Pages get one
 * whole picture and then what has changed.
 */
export class ClusterView {
  readonly #members = new Map<string, Member>();
  readonly #swarms = new Map<string, SwarmView>();
  #numbers = 0;
  #swarmNumbers = 0;
  readonly #changed = new Set<Member>();
  readonly #unknown = new Set<Member>();
  readonly #gone: number[] = [];
  readonly #over: LiveSwarm[] = [];
  /** `from to` -> bytes. */
  readonly #edges = new Map<string, [from: string, to: number, bytes: number]>();
  readonly #bans: LiveBan[] = [];

  /** A member is there. */
  join(info: PeerInfo): void {
    this.leave(info.id);
    const member: Member = {
      ...{ n: ++this.#numbers, info, version: '', reported: false, bytes: NO_BYTES },
      ...{ blobs: new Map(), slow: undefined },
    };
    this.#members.set(info.id, member);
    this.#unknown.add(member);
  }

  leave(id: string): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    this.#forget(member);
    this.#members.delete(id);
    this.#changed.delete(member);
    if (!this.#unknown.delete(member)) this.#gone.push(member.n);
  }

  /** A member that is not there is not heard. @param atMs milliseconds since the epoch */
  report(id: string, report: ReportMessage, atMs: number): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    if (report.fresh === true) this.#forget(member);
    member.version = report.version ?? member.version;
    member.reported = true;
    member.bytes = report.bytes;
    member.slow = report.slow;
    this.#changed.add(member);
    for (const handle of report.gone) this.#leaveSwarm(member, handle);
    for (const blob of report.blobs) this.#share(member, blob);
    for (const [from, bytes] of report.from) {
      const key = `${from} ${member.n}`;
      const edge = this.#edges.get(key);
      if (edge === undefined) this.#edges.set(key, [from, member.n, bytes]);
      else edge[2] += bytes;
    }
    for (const { peer, reason } of report.bans) {
      this.#bans.unshift({ by: member.n, peer: peer.slice(0, 8), reason, atMs });
      this.#bans.splice(MAX_BANS);
    }
  }

  /** What has changed since the last call, for pages that know what was before. */
  takeChanges(counts: Counts, stamp: Stamp): LiveMessage {
    const swarms = [...this.#over.splice(0)];
    const have: Have[] = [];
    for (const swarm of this.#swarms.values()) {
      const changes = swarm.takeChanges();
      if (changes === undefined) continue;
      swarms.push(changes.swarm);
      have.push(...changes.have);
    }
    const members = [...this.#members.values()].filter(
      (member) => this.#unknown.has(member) || this.#changed.has(member),
    );
    const message = {
      ...stamp,
      totals: this.#totals(counts),
      members: members.map((member) => liveMember(member, this.#unknown.has(member))),
      gone: this.#gone.splice(0),
      ...{ swarms, have, edges: this.#widestEdges(), slow: this.#slow(), bans: this.#bans.slice() },
    };
    this.#unknown.clear();
    this.#changed.clear();
    this.#edges.clear();
    return message;
  }

  /** All of it as it was at the last {@link takeChanges}, for a page that knows nothing; to be called right behind it. */
  whole(counts: Counts, stamp: Stamp): LiveMessage {
    const swarms = [...this.#swarms.values()];
    return {
      ...{ full: true, ...stamp, totals: this.#totals(counts) },
      members: [...this.#members.values()].map((member) => liveMember(member, true)),
      gone: [],
      swarms: swarms.map((swarm) => swarm.live(true)),
      have: swarms.flatMap((swarm) => swarm.have()),
      ...{ edges: [], slow: this.#slow(), bans: this.#bans.slice() },
    };
  }

  #share(member: Member, { digest, handle, held, pieces = 0, readers, size = 0 }: ReportedBlob): void {
    if (digest !== undefined) {
      this.#leaveSwarm(member, handle);
      const swarm = this.#swarms.get(digest) ?? new SwarmView(++this.#swarmNumbers, digest, size);
      const full = this.#swarms.size >= MAX_SWARMS && !this.#swarms.has(digest);
      if (full || member.blobs.size >= MAX_BLOBS_PER_MEMBER) return;
      this.#swarms.set(digest, swarm);
      member.blobs.set(handle, swarm);
      swarm.pieces ||= pieces;
    }
    member.blobs.get(handle)?.set(member.n, member.info.role, held, readers);
  }

  #leaveSwarm(member: Member, handle: number): void {
    const swarm = member.blobs.get(handle);
    if (swarm === undefined) return;
    member.blobs.delete(handle);
    swarm.delete(member.n);
    if (swarm.sharers > 0) return;
    this.#swarms.delete(swarm.digest);
    if (swarm.isKnown) this.#over.push(swarm.live(false));
  }

  #forget(member: Member): void {
    for (const handle of [...member.blobs.keys()]) this.#leaveSwarm(member, handle);
  }

  #totals(counts: Counts): LiveTotals {
    const sum = { origin: 0, objectStore: 0, supernode: 0, peer: 0, archive: 0, toClients: 0 };
    let reporting = 0;
    for (const { bytes, reported } of this.#members.values()) {
      if (reported) reporting++;
      sum.origin += bytes.origin;
      sum.objectStore += bytes.objectStore;
      sum.supernode += bytes.supernode;
      sum.peer += bytes.peer;
      sum.archive += bytes.archive;
      sum.toClients += bytes.toClients;
    }
    return { ...counts, reporting, ...sum };
  }

  #widestEdges(): LiveMessage['edges'] {
    return [...this.#edges.values()]
      .flatMap(([from, to, bytes]) => {
        const sender = this.#members.get(from);
        return sender === undefined ? [] : [[sender.n, to, bytes] as const];
      })
      .sort(([, , a], [, , b]) => b - a)
      .slice(0, MAX_EDGES);
  }

  /** Of each node whose clients wait, the blob that is least far. */
  #slow(): LiveSlow[] {
    const found: LiveSlow[] = [];
    for (const { blobs, n, slow } of this.#members.values()) {
      let worst: { swarm: number; percent: number } | undefined;
      for (const swarm of blobs.values()) {
        const { percent, readers } = swarm.of(n);
        if (readers > 0 && percent < 100 && percent < (worst?.percent ?? 100)) {
          worst = { swarm: swarm.n, percent };
        }
      }
      if (worst === undefined) continue;
      const { cause = 'none', ms = 0, ofMs = 0, on } = slow ?? {};
      const about = on === undefined || on === 'registry' ? on : this.#members.get(on)?.n;
      found.push({ member: n, ...worst, cause, ...(about === undefined ? {} : { on: about }), ms, ofMs });
    }
    return found.sort((a, b) => a.percent - b.percent || b.ms - a.ms).slice(0, MAX_SLOW);
  }
}

function liveMember({ bytes, info, n, version }: Member, whole: boolean): LiveMember {
  const { objectStore, origin, peer, supernode, toClients, toPeers } = bytes;
  const { host, id, port, role, zone } = info;
  const about = whole ? { id, role, address: `${host}:${port}`, zone } : {};
  return { n, ...about, version, origin, objectStore, supernode, peer, toPeers, toClients };
}
