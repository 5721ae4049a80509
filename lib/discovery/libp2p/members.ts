import type { ClusterSettings } from '../../core/cluster-settings.ts';
import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerInfo, Role } from '../../core/node.ts';
import type { Logger } from '../../observe/log.ts';
import { type Clock, delay, every } from '../../runtime/clock.ts';
import { withDeadline } from '../../runtime/deadline.ts';
import type { Rng } from '../../runtime/rng.ts';
import {
  type BlobKey,
  type DhtDoor,
  MAX_HINTS,
  type MemberAddress,
  type MemberAnswer,
  type MemberProof,
  type MemberQuestion,
} from '../../wire/member-codec.ts';
import type { Dht, Heard, MemberId } from './dht.ts';

/** A node that waits for a blob waits for this. */
const ASK_MS = 1500;
/** Nobody waits for a greeting. */
const GREETED_MS = 5000;
const JOIN_MS = 3000;
/** The first try to join comes at once, later ones after twice the wait each, until somebody is there. */
const MIN_REJOIN_MS = 250;
const MAX_REJOIN_MS = 5000;
/** Tries that are followed by the next one sooner than this ask only those who are in the DHT anyway. */
const SPARING_MS = 2000;
/** Once somebody is there: one more is joined now and then, so that parts that were cut off find together again. */
const WIDEN_MS = 30_000;
const JOINS_AT_ONCE = 6;
/** A supernode whose connection ended is asked once more after this, before it counts as gone. */
const RECHECK_MS = 200;
/** Of two members the one with the lesser id asks first who the other is; the other one waits so long for that. */
const GREETING_MS = 500;
/** Others hear of a new supernode after this, so that those that start together are one piece of news. */
const HINT_PAUSE_MS = 50;
/** How often somebody is greeted, or joined who was named. */
const TRIES = 4;

/** Where a process's peer port is. */
export interface SeedAddress {
  readonly host: string;
  readonly port: number;
  /** Where it is known. */
  readonly role?: Role;
}

export interface MembersDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Peer ports of processes that may be there. */
  readonly seeds: () => readonly SeedAddress[];
  /** Asks a peer port where its process's DHT is. @throws PEER_UNREACHABLE, PEER_PROTOCOL, ABORTED */
  readonly locate: (seed: SeedAddress, signal: AbortSignal) => Promise<DhtDoor>;
  /** @default everybody who is let into the DHT is believed */
  readonly identities?: MemberIdentities | undefined;
}

/** Where members have certificates: that they are who they say, bound to their libp2p peer ids. */
export interface MemberIdentities {
  /** What this process says of itself. */
  prove(member: MemberId): MemberProof;
  /** Whether the member is this peer, and believed. Whoever is not is told to the log and the metrics there. */
  believes(member: MemberId, peer: PeerInfo, proof: MemberProof | undefined): boolean;
  /** Whether somebody has set them who may. */
  obeys(settings: ClusterSettings): boolean;
}

export interface MembersHost {
  /** What every question says of ourselves. */
  self(): Pick<MemberQuestion, 'peer' | 'settings'>;
  /** What a member said of itself in a question or an answer. */
  heard(message: Pick<MemberQuestion, 'peer' | 'settings'>): void;
  /** The first member is there, or the last one is gone. */
  reachable(reachable: boolean): void;
  supernodesChanged(): void;
}

/** The processes that we are connected with in the DHT: joins some, greets all, and knows which supernodes live. */
export class Members {
  readonly #deps: MembersDeps;
  readonly #host: MembersHost;
  readonly #ending = new AbortController();
  readonly #connected = new Set<MemberId>();
  /** Those of them that have proved it, where there is a proof. */
  readonly #proven = new Set<MemberId>();
  /** Those of them that have said who they are. */
  readonly #here = new Map<MemberId, PeerInfo>();
  readonly #supernodes = new Map<MemberId, PeerInfo>();
  /** Supernodes that others named: they know who told us, and need not hear of them from us. */
  readonly #hinted = new Set<MemberId>();
  #dht: Dht | undefined;
  #cancelJoin: () => void = () => {};
  #cancelHint: () => void = () => {};
  #stopWidening: () => void = () => {};

  constructor(deps: MembersDeps, host: MembersHost) {
    this.#deps = deps;
    this.#host = host;
  }

  /** Begins to look for members. */
  start(dht: Dht): void {
    const { clock, rng } = this.#deps;
    this.#dht = dht;
    this.#stopWidening = every(clock, WIDEN_MS * (0.5 + rng.float()), () => void this.#joinSome(1));
    this.#join(MIN_REJOIN_MS);
  }

  close(): void {
    this.#ending.abort();
    this.#cancelJoin();
    this.#cancelHint();
    this.#stopWidening();
  }

  get reachable(): boolean {
    return this.#here.size > 0;
  }

  /** Members that are connected and have said who they are. */
  get here(): readonly MemberId[] {
    return [...this.#here.keys()];
  }

  /** Supernodes that live; while nobody is there, those that lived last. */
  get supernodes(): readonly PeerInfo[] {
    return [...this.#supernodes.values()];
  }

  /** A connection is there: one side asks who the other is, and the other one too should it not. */
  connected(member: MemberId): void {
    this.#connected.add(member);
    void this.#greet(member, (this.#dht?.door.member ?? '') < member ? 0 : GREETING_MS);
  }

  async #greet(member: MemberId, waitMs: number): Promise<void> {
    const { clock } = this.#deps;
    for (let tries = 0; tries < TRIES; tries++) {
      await delay(clock, waitMs + GREETING_MS * tries, this.#ending.signal).catch(() => {});
      if (!this.#connected.has(member) || this.#here.has(member)) return;
      if ((await this.ask(member, [], GREETED_MS)) !== undefined) return;
    }
  }

  disconnected(member: MemberId): void {
    const { clock } = this.#deps;
    this.#connected.delete(member);
    this.#proven.delete(member);
    if (this.#here.delete(member) && this.#here.size === 0) {
      this.#host.reachable(false);
      this.#join(MIN_REJOIN_MS);
    }
    // Its connection may have been one too many; only who does not answer any more is gone.
    if (this.#supernodes.has(member)) clock.after(RECHECK_MS, () => void this.#recheck(member));
  }

  /** Asks the supernodes that we are not connected with whether they live. */
  recheck(): void {
    for (const member of this.#supernodes.keys()) void this.#recheck(member);
  }

  async #recheck(member: MemberId): Promise<void> {
    if (this.#ending.signal.aborted || this.#here.has(member)) return;
    const answer = await this.ask(member, [], GREETED_MS);
    const gone = answer === undefined && this.reachable && !this.#ending.signal.aborted;
    if (gone && this.#supernodes.delete(member)) this.#host.supernodesChanged();
  }

  /** Asks a member which of the blobs it shares; undefined when it does not answer. */
  async ask(member: MemberId, keys: readonly BlobKey[], mostMs = ASK_MS): Promise<MemberAnswer | undefined> {
    // Who has not proved who it is hears who we are, and no more.
    const isKnown = this.#deps.identities === undefined || this.#proven.has(member);
    if (!isKnown && (await this.#exchange(member, this.#introduction(), mostMs)) === undefined) {
      return undefined;
    }
    return await this.#exchange(member, { ...(await this.ourself()), keys }, mostMs);
  }

  async #exchange(
    member: MemberId,
    question: MemberQuestion,
    mostMs: number,
  ): Promise<MemberAnswer | undefined> {
    const dht = this.#dht;
    if (dht === undefined || this.#ending.signal.aborted) return undefined;
    try {
      const { clock } = this.#deps;
      const heard = await withDeadline(clock, mostMs, this.#ending.signal, (signal) =>
        dht.ask(member, question, signal),
      );
      const peer = this.#meet(member, heard);
      return { ...heard.message, peer };
    } catch (error) {
      this.#deps.log.debug({ member, error: describeError(error) }, 'a member does not answer');
      return undefined;
    }
  }

  /** A member has asked us. @returns who it is @throws PEER_UNTRUSTED */
  asked(member: MemberId, heard: Heard<MemberQuestion>): PeerInfo {
    return this.#meet(member, heard);
  }

  /** A question that says who we are. */
  #introduction(): MemberQuestion {
    const own = this.#dht?.door.member;
    const { identities } = this.#deps;
    const proof = own === undefined || identities === undefined ? {} : { proof: identities.prove(own) };
    return { peer: this.#host.self().peer, ...proof, keys: [], supernodes: [] };
  }

  /** What every message of ours says, once it is known to whom. */
  async ourself(): Promise<Omit<MemberQuestion, 'keys'>> {
    const { peer, proof } = this.#introduction();
    return { ...this.#host.self(), peer, ...(proof && { proof }), supernodes: await this.hints() };
  }

  /** Supernodes that we are connected with. */
  async hints(): Promise<readonly MemberAddress[]> {
    const near = [...this.#supernodes.keys()].filter((member) => this.#here.has(member)).slice(0, MAX_HINTS);
    const dht = this.#dht;
    if (dht === undefined) return [];
    const found = await Promise.all(near.map((member) => dht.addressOf(member)));
    return found.filter((address) => address !== undefined);
  }

  /** Tells all members what we say of ourselves, such as new settings. */
  tellAll(): void {
    for (const member of this.#here.keys()) void this.ask(member, []);
  }

  #meet(member: MemberId, { host, message }: Heard<Omit<MemberQuestion, 'keys'>>): PeerInfo {
    const { identities } = this.#deps;
    if (identities?.believes(member, message.peer, message.proof) === false) {
      this.#proven.delete(member);
      throw new DamselflyError('PEER_UNTRUSTED', 'a stranger in the DHT: it has not proved who it is');
    }
    if (this.#connected.has(member)) this.#proven.add(member);
    const peer = message.peer.host === '' ? { ...message.peer, host } : message.peer;
    if (this.#ending.signal.aborted || peer.id === this.#host.self().peer.id) return peer;
    const first = this.#here.size === 0 && this.#connected.has(member);
    if (this.#connected.has(member)) this.#here.set(member, peer);
    const news = peer.role === 'supernode' && this.#admit(member, peer);
    if (first) this.#host.reachable(true);
    else if (news) this.#host.supernodesChanged();
    this.#host.heard({ ...message, peer });
    for (const hint of message.supernodes) this.#follow(hint);
    return peer;
  }

  /** @returns whether the supernode is news */
  #admit(member: MemberId, peer: PeerInfo): boolean {
    const known = this.#supernodes.get(member);
    if (known !== undefined && known.host === peer.host && known.port === peer.port) return false;
    // After a restart it is another member of the same name.
    for (const [other, { id }] of this.#supernodes) if (id === peer.id) this.#supernodes.delete(other);
    this.#supernodes.set(member, peer);
    if (!this.#hinted.delete(member)) {
      this.#cancelHint();
      this.#cancelHint = this.#deps.clock.after(HINT_PAUSE_MS, () => this.tellAll());
    }
    return true;
  }

  /** Meets a supernode that a member named, if we do not know it. */
  #follow(hint: MemberAddress): void {
    const dht = this.#dht;
    const { member } = hint;
    if (dht === undefined || member === dht.door.member) return;
    if (this.#supernodes.has(member) || this.#hinted.has(member) || this.#hinted.size >= MAX_HINTS) return;
    this.#hinted.add(member);
    void this.#joinHinted(dht, hint).finally(() => this.#hinted.delete(member));
  }

  async #joinHinted(dht: Dht, hint: MemberAddress): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#ending;
    for (let tries = 0; tries < TRIES && !signal.aborted; tries++) {
      try {
        await withDeadline(clock, JOIN_MS, signal, (inTime) => dht.join(hint, inTime));
        if ((await this.ask(hint.member, [], GREETED_MS)) !== undefined) return;
      } catch (error) {
        log.debug({ ...hint, error: describeError(error) }, 'a supernode that was named does not answer');
      }
      await delay(clock, MIN_REJOIN_MS * 2 ** tries, signal).catch(() => {});
    }
  }

  /** Joins until somebody is there. */
  #join(waitMs: number): void {
    const { clock, rng } = this.#deps;
    this.#cancelJoin();
    void this.#joinSome(JOINS_AT_ONCE, waitMs < SPARING_MS);
    this.#cancelJoin = clock.after(waitMs * (0.75 + rng.float() / 2), () => {
      if (!this.reachable) this.#join(Math.min(2 * waitMs, MAX_REJOIN_MS));
    });
  }

  /**
   * @param sparing nodes are asked only when nobody else answers: one that is asked for the way in joins for that, and
   * asks others in turn, so that soon all load libp2p at once
   */
  async #joinSome(count: number, sparing = false): Promise<void> {
    const { rng, seeds } = this.#deps;
    const all = seeds().filter(({ role }) => !sparing || role !== 'node');
    const chosen: SeedAddress[] = [];
    while (chosen.length < count && all.length > 0) chosen.push(...all.splice(rng.int(all.length), 1));
    const joined = await Promise.all(chosen.map((seed) => this.#joinBy(seed)));
    if (sparing && !joined.includes(true) && !this.#ending.signal.aborted) await this.#joinSome(count);
  }

  /** @returns whether somebody is there */
  async #joinBy(seed: SeedAddress): Promise<boolean> {
    const { clock, locate, log } = this.#deps;
    try {
      return await withDeadline(clock, JOIN_MS, this.#ending.signal, async (signal) => {
        const door = await locate(seed, signal);
        const dht = this.#dht;
        if (dht === undefined || door.member === dht.door.member) return false;
        if (!this.#here.has(door.member)) await dht.join({ ...door, host: seed.host }, signal);
        return true;
      });
    } catch (error) {
      log.debug({ ...seed, error: describeError(error) }, 'nobody to join there');
      return false;
    }
  }
}
