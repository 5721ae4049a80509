import { type ClusterSettings, isNewer } from '../lib/core/cluster-settings.ts';
import type { Digest } from '../lib/core/digest.ts';
import type { PeerInfo, Role } from '../lib/core/node.ts';
import type { Logger } from '../lib/observe/log.ts';
import { type Clock, every } from '../lib/runtime/clock.ts';
import type { TrackerCore } from '../lib/swarm/tracker-core.ts';
import { encodeControl } from '../lib/wire/control-codec.ts';
import {
  type BlobAnnouncement,
  type BlobNeighbours,
  type ControlMessage,
  MAX_NEIGHBOURS_PER_BLOB,
  MAX_PEERS_PER_MESSAGE,
} from '../lib/wire/control-messages.ts';
import type { ReportMessage } from '../lib/wire/report-messages.ts';
import { DialBudget } from './dial-budget.ts';
import type { TrackerMetrics } from './metrics.ts';
import type { PeerStore, PeerStoreHost } from './peer-store/peer-store.ts';
import { Undialled } from './undialled.ts';

/**
 * How often a member speaks at least, when it has nothing to say. There are many nodes, and one that is gone costs a
 * dial; of a supernode everybody must hear soon.
 */
export const HEARTBEAT_MS: Readonly<Record<Role, number>> = { node: 30_000, supernode: 1_000 };
/** Heartbeats missed after which a member counts as gone. */
const SILENT_HEARTBEATS = 3;
/** A connection that has not said hello by then is none of ours. */
const HELLO_TIMEOUT_MS = 10_000;
const SWEEP_MS = 300;
/** Supernodes of a rollout come and go together; one broadcast for the whole burst. */
const EPOCH_DELAY_MS = 100;

/** What a member's connection offers to the membership. */
export interface MemberSession {
  /** Queues one encoded message. */
  sendText(text: string): void;
  /** Ends the connection; the other side may dial again. */
  end(reason: string): void;
}

type LeaseQuestion = Extract<ControlMessage, { type: 'lease' | 'renew' }>;
type LeaseReply =
  | Omit<Extract<ControlMessage, { type: 'leased' }>, 'ask'>
  | Omit<Extract<ControlMessage, { type: 'lease-refused' }>, 'ask'>;

interface Member {
  readonly session: MemberSession;
  /** Last set of supernodes that it was told about. */
  epoch: number;
}

/** Told who comes, goes and reports. */
export interface MembersListener {
  joined(peer: PeerInfo): void;
  left(id: string): void;
  reported(id: string, report: ReportMessage): void;
}

export interface MembersDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly core: TrackerCore;
  readonly metrics: TrackerMetrics;
  /** A member is gone, and no other connection of it has taken its place. */
  readonly onLeft?: ((id: string) => void) | undefined;
  readonly peerStore: PeerStore;
  /** By which others believe what the member reads of a blob. Absent in a cluster without identities. */
  readonly warrantFor?: ((member: string, digest: Digest) => readonly string[]) | undefined;
  /** Whether who has set these settings may. @default true, as in a cluster without identities */
  readonly obeys?: ((settings: ClusterSettings) => boolean) | undefined;
}

/** When members of other trackers turn out to share a blob, so many of ours hear of it at once; others when they ask. */
const MOST_TOLD_MORE = 32;

/** Who is connected: keeps the core informed of joins, leaves and silence, and members of new sets of supernodes. */
export class Members implements PeerStoreHost {
  readonly #deps: MembersDeps;
  readonly #members = new Map<string, Member>();
  /** Connections without a hello -> since when; the oldest first. */
  readonly #expected = new Map<MemberSession, number>();
  readonly #cancelSweep: () => void;
  #cancelEpoch: (() => void) | undefined;
  /** The set of supernodes that everybody was told about. */
  #toldEpoch = 0;
  #sweptAtMs: number;
  #settings: ClusterSettings | undefined;
  readonly #undialled = new Undialled();
  readonly #dialBudget = new DialBudget();
  #listener: MembersListener | undefined;

  constructor(deps: MembersDeps) {
    this.#deps = deps;
    this.#sweptAtMs = deps.clock.now();
    this.#cancelSweep = every(deps.clock, SWEEP_MS, () => this.#sweep());
    deps.peerStore.start(this);
  }

  /** A connection is there, whose hello is to come. */
  expect(session: MemberSession): void {
    this.#expected.set(session, this.#deps.clock.now());
  }

  /** The process behind the session joins; an older session of the same id ends. @returns the current epoch */
  join(session: MemberSession, peer: PeerInfo): number {
    const { core, clock, log } = this.#deps;
    this.#expected.delete(session);
    const before = this.#members.get(peer.id);
    // A process that comes back announces all it has; what it said before may no longer be true.
    if (before !== undefined) core.leave(peer.id, clock.now());
    core.join(peer, clock.now());
    this.#members.set(peer.id, { session, epoch: core.epoch });
    before?.session.end('another connection with the same id');
    log[peer.role === 'supernode' ? 'info' : 'debug']({ peer }, 'member joined');
    this.#listener?.joined(peer);
    this.#changed();
    return core.epoch;
  }

  /** The session ended, of a member or without a hello; does nothing when the member has another one by now. */
  leave(session: MemberSession, id: string | undefined): void {
    const { core, clock, log } = this.#deps;
    this.#expected.delete(session);
    if (id === undefined || this.#members.get(id)?.session !== session) return;
    const role = core.member(id)?.role;
    this.#members.delete(id);
    this.#deps.peerStore.left(id);
    core.leave(id, clock.now());
    this.#deps.onLeft?.(id);
    log[role === 'supernode' ? 'info' : 'debug']({ id }, 'member left');
    this.#listener?.left(id);
    this.#changed();
  }

  seen(id: string): void {
    this.#deps.core.seen(id, this.#deps.clock.now());
  }

  /** The node shares the blob, and is answered later: others may be linked to it. @returns whether it is a node */
  enter(id: string, blob: BlobAnnouncement): boolean {
    return this.#deps.core.note(id, blob.digest, blob);
  }

  /** @returns the neighbours of each blob that the member lacks, were it nobody: a member waits for its answer */
  announce(id: string, blobs: readonly BlobAnnouncement[]): BlobNeighbours[] {
    const { core, clock, metrics, peerStore } = this.#deps;
    const now = clock.now();
    metrics.announces.inc({ transport: 'control' }, blobs.length);
    const found: BlobNeighbours[] = [];
    const owned = this.#hasOwners;
    const undialled = new Set<string>();
    for (const blob of blobs) {
      const { digest } = blob;
      const all = core.announce(id, digest, blob, now);
      peerStore.announced(id, digest, blob.have);
      if (blob.have === 'all') continue;
      const peers = all.length > MAX_NEIGHBOURS_PER_BLOB ? all.slice(0, MAX_NEIGHBOURS_PER_BLOB) : all;
      for (const peer of peers) if (this.#undialled.has(peer.id, now)) undialled.add(peer.id);
      found.push(owned ? { digest, peers, owned } : { digest, peers });
    }
    for (const peer of undialled) this.#haveDialled(id, peer);
    return found;
  }

  /** The member cannot dial these: they dial it, as from now on whomever they are named to. */
  unreached(id: string, ids: readonly string[]): void {
    for (const peer of ids) {
      if (!this.#members.has(peer)) continue;
      if (!this.#haveDialled(id, peer)) return;
      this.#undialled.note(peer, id, this.#deps.clock.now());
    }
  }

  /** The member has dialled these, after it had said that it could not. */
  reached(id: string, ids: readonly string[]): void {
    for (const peer of ids) this.#undialled.noteDialled(peer, id);
  }

  /** @returns false when enough are dialling the member */
  #haveDialled(id: string, by: string): boolean {
    const { clock, core } = this.#deps;
    const peer = core.member(id);
    const session = this.#members.get(by)?.session;
    if (peer === undefined || session === undefined) return true;
    const mayMore = this.#dialBudget.take(id, clock.now());
    if (mayMore) session.sendText(encodeControl({ type: 'dial', peers: [peer] }));
    return mayMore;
  }

  /** May the member read, or go on reading, what it asks for? */
  async lease(id: string, message: LeaseQuestion): Promise<LeaseReply> {
    const { metrics, peerStore, warrantFor } = this.#deps;
    const answer =
      message.type === 'renew'
        ? await peerStore.renewLease(id, message.token)
        : await peerStore.lease(id, { ...message, aside: message.aside === true });
    if (answer.kind === 'granted') {
      if (message.type === 'lease') metrics.leaseAnswers.inc({ answer: 'granted' });
      const { stripe, token, ttlMs } = answer;
      const warrant = message.type === 'lease' ? warrantFor?.(id, message.digest) : undefined;
      return { type: 'leased', stripe, token, ttlMs, ...(warrant === undefined ? {} : { warrant }) };
    }
    const { holders, reason, retryMs } = answer;
    metrics.leaseAnswers.inc({ answer: reason });
    return { type: 'lease-refused', reason, retryMs, holders };
  }

  releaseLease(id: string, token: number, read: boolean): void {
    this.#deps.peerStore.releaseLease(id, token, read);
  }

  /** Whether the member has announced the blob. */
  shares(id: string, digest: Digest): boolean {
    return this.#deps.core.shares(id, digest);
  }

  withdraw(id: string, digests: readonly Digest[]): void {
    this.#deps.peerStore.withdrawn(id, digests);
    for (const digest of digests) this.#deps.core.withdraw(id, digest);
  }

  isConnected(id: string): boolean {
    return this.#members.has(id);
  }

  get connected(): number {
    return this.#members.size;
  }

  /** Others share the blob than were known: members that lack it hear of them. */
  found(digest: Digest): void {
    const { core, clock } = this.#deps;
    const owned = this.#hasOwners ? ({ owned: true } as const) : {};
    let told = 0;
    for (const { have, info } of core.sharers(digest)) {
      const session = have === 'all' ? undefined : this.#members.get(info.id)?.session;
      if (session === undefined) continue;
      const peers = core.announce(info.id, digest, { have }, clock.now()).slice(0, MAX_NEIGHBOURS_PER_BLOB);
      session.sendText(encodeControl({ type: 'neighbours', blobs: [{ digest, peers, ...owned }] }));
      if (++told >= MOST_TOLD_MORE) return;
    }
  }

  supernodesChanged(): void {
    this.#changed();
  }

  obeys(settings: ClusterSettings): boolean {
    return this.#deps.obeys?.(settings) ?? true;
  }

  toldSettings(settings: ClusterSettings): void {
    this.#spread(settings, 'another tracker');
  }

  /** Those that are there now, as many as a message holds. */
  get supernodes(): readonly PeerInfo[] {
    return this.#deps.core.supernodes.slice(0, MAX_PEERS_PER_MESSAGE);
  }

  /** The newest that any member has told. */
  get settings(): ClusterSettings | undefined {
    return this.#settings;
  }

  /** A member tells settings; everybody hears of them when they are news. */
  set(settings: ClusterSettings, id: string): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#deps.peerStore.tellSettings(settings);
    this.#spread(settings, id);
  }

  #spread(settings: ClusterSettings, id: string): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#settings = settings;
    this.#deps.log.warn({ id, settings }, 'new settings of the cluster');
    this.tellAll({ type: 'settings', ...settings });
  }

  /** Tells all members that are there. */
  tellAll(message: ControlMessage): void {
    const text = encodeControl(message);
    for (const member of this.#members.values()) member.session.sendText(text);
  }

  get swarms(): number {
    return this.#deps.core.counts.swarms;
  }

  /** Sets the only listener. */
  listen(listener: MembersListener): void {
    this.#listener = listener;
  }

  *all(): Iterable<PeerInfo> {
    for (const id of this.#members.keys()) {
      const info = this.#deps.core.member(id);
      if (info !== undefined) yield info;
    }
  }

  sendTo(id: string, text: string): void {
    this.#members.get(id)?.session.sendText(text);
  }

  reported(id: string, report: ReportMessage): void {
    this.#listener?.reported(id, report);
  }

  /** Every blob has an owner while there are supernodes. */
  get #hasOwners(): boolean {
    return this.#deps.core.supernodes.length > 0;
  }

  /** As in the metrics. */
  get counts(): { readonly members: number; readonly supernodes: number; readonly swarms: number } {
    const { core } = this.#deps;
    const { members, swarms } = core.counts;
    return { members, swarms, supernodes: core.supernodes.length };
  }

  close(): void {
    this.#cancelSweep();
    this.#cancelEpoch?.();
  }

  #sweep(): void {
    const { core, clock, metrics } = this.#deps;
    const now = clock.now();
    const late = now - this.#sweptAtMs > 2 * SWEEP_MS;
    this.#sweptAtMs = now;
    // After a pause of this process the heartbeats lie unread in the sockets: read them before judging anybody.
    if (late) return;
    for (const [session, sinceMs] of this.#expected) {
      if (now - sinceMs < HELLO_TIMEOUT_MS) break;
      this.#expected.delete(session);
      session.end('no hello in time');
    }
    // Members of other trackers are judged there.
    const silentMs = ({ id, role }: PeerInfo): number =>
      this.#members.has(id) ? SILENT_HEARTBEATS * HEARTBEAT_MS[role] : Number.POSITIVE_INFINITY;
    for (const id of core.expire(now, silentMs)) {
      const member = this.#members.get(id);
      this.#members.delete(id);
      this.#deps.peerStore.left(id);
      metrics.cleaned.inc({ what: 'member' });
      this.#deps.onLeft?.(id);
      this.#listener?.left(id);
      member?.session.end('silent for too long');
    }
    metrics.cleaned.inc({ what: 'lease' }, core.expireLeases(now));
    this.#changed();
  }

  #changed(): void {
    const { core, clock, metrics } = this.#deps;
    const { leases, swarms } = core.counts;
    metrics.members.set({ protocol: 'damselfly' }, this.#members.size);
    metrics.leases.set(leases);
    metrics.supernodes.set(core.supernodes.length);
    metrics.swarms.set({ protocol: 'damselfly' }, swarms);
    if (core.epoch === this.#toldEpoch || this.#cancelEpoch !== undefined) return;
    this.#cancelEpoch = clock.after(EPOCH_DELAY_MS, () => this.#tellEpoch());
  }

  #tellEpoch(): void {
    this.#cancelEpoch = undefined;
    const { epoch } = this.#deps.core;
    this.#toldEpoch = epoch;
    const text = encodeControl({ type: 'epoch', epoch, supernodes: this.supernodes });
    for (const member of this.#members.values()) {
      if (member.epoch === epoch) continue;
      member.epoch = epoch;
      member.session.sendText(text);
    }
  }
}
