import { BoundedMap } from '../../core/bounded-map.ts';
import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { Discovery } from '../../discovery/discovery.ts';
import type { Logger } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { Trace, TraceEvent } from '../../observe/trace.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import { decodePeerMessage, encodePeerMessage, encodePeerMessages } from '../../wire/peer-codec.ts';
import { type Hello, PEER_PROTOCOL_VERSION, type PeerMessage } from '../../wire/peer-messages.ts';
import type { Link, LinkDialer, ReverseDialer } from '../seams.ts';
import { Neighbour } from './neighbour.ts';
import { Reversals } from './reversals.ts';

/** A neighbour that does not read its messages is dropped before its queue eats our memory. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
/** How long the other side may take to say hello. */
const HELLO_TIMEOUT_MS = 5000;
const DIAL_TIMEOUT_MS = 5000;
/** A peer that is not linked by then may be one that drops who dials it. */
const UNREACHED_AFTER_MS = 1000;
/** After a failed dial the same peer is left alone this long. */
const REDIAL_AFTER_MS = 2000;
/** Peers that could not be dialled and are remembered; the one tried longest ago goes first. */
const MAX_UNREACHED = 1024;
/** Links we keep at most; a tracker hands out about ten neighbours a blob, and layers share them. */
const MAX_LINKS = 256;
/** Up to so many are kept also without use: without a tracker they are all that a node knows. */
const KEPT_LINKS = 128;
/** Links that have become old are looked for so often, and so many at a time are dialled anew. */
const RELINK_EVERY_MS = 1000;
const RELINKS_AT_ONCE = 4;
/** A new link is for a blob that is about to be shared. */
const NEW_LINK_MS = 60_000;

export interface NeighbourEvents {
  /** Hellos are exchanged; messages follow. */
  up(neighbour: Neighbour, hello: Hello): void;
  message(neighbour: Neighbour, message: PeerMessage): void;
  down(neighbour: Neighbour): void;
}

export interface NeighboursDeps {
  readonly dialer: LinkDialer & ReverseDialer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly trace?: Trace | undefined;
  /** Our own hello, fresh for each link. */
  readonly hello: () => Hello;
  /** Told of a peer that could not be dialled, or not yet, for it to dial us; and when it was dialled after all. */
  readonly discovery?: Pick<Discovery, 'unreached' | 'reached'> | undefined;
}

interface Connection {
  readonly link: Link;
  readonly neighbour: Neighbour;
  /** Id of the side that dialled: decides between two links to one peer. */
  readonly dialer: string;
  readonly sinceMs: number;
}

/** The links of one process: dials, accepts, says hello, keeps one link a peer, and never speaks to the banned. */
export class Neighbours {
  readonly #deps: NeighboursDeps;
  readonly #events: NeighbourEvents;
  readonly #connections = new Map<string, Connection>();
  readonly #dialling = new Map<string, PeerInfo>();
  readonly #notBefore = new BoundedMap<number>(MAX_UNREACHED);
  /** Peers that discovery was told to be out of reach. */
  readonly #toldOf = new BoundedMap<true>(MAX_UNREACHED);
  readonly #banned = new Set<string>();
  readonly #distrusted = new Set<string>();
  readonly #pending = new Set<Link>();
  readonly #ending = new AbortController();
  readonly #reversals: Reversals;
  #stopRelinking: (() => void) | undefined;

  constructor(deps: NeighboursDeps, events: NeighbourEvents) {
    this.#deps = deps;
    this.#events = events;
    this.#reversals = new Reversals({ ...deps, network: deps.dialer, self: () => deps.hello().peer.id });
  }

  get(id: string): Neighbour | undefined {
    return this.#connections.get(id)?.neighbour;
  }

  all(): Neighbour[] {
    return [...this.#connections.values()].map((connection) => connection.neighbour);
  }

  /** Peers that are being dialled. */
  dialling(): PeerInfo[] {
    return [...this.#dialling.values()];
  }

  /** Whether a supernode is connected or being dialled. */
  get supernodeExpected(): boolean {
    const dialled = this.dialling().some((peer) => peer.role === 'supernode');
    return dialled || this.all().some(({ peer }) => peer.role === 'supernode');
  }

  /** Whether a neighbour could not dial us when it last tried. */
  cannotDialUs(id: string): boolean {
    return this.#reversals.cannotDialUs(id);
  }

  /** Dials a peer that cannot dial us. */
  connectInTurn(peer: PeerInfo): void {
    // Its dial, or ours, came first; or it has not tried, and a tracker sees to it in advance.
    if (this.#connections.has(peer.id)) return;
    this.#reversals.noteUndialled(peer.id);
    this.connect(peer, true);
  }

  /** Dials the peer unless it is linked, being dialled, banned, or failed a moment ago. */
  connect(peer: PeerInfo, inTurn = false): void {
    const { clock } = this.#deps;
    if (
      peer.id === this.#deps.hello().peer.id ||
      this.#connections.has(peer.id) ||
      this.#banned.has(peer.id)
    ) {
      return;
    }
    if (this.#dialling.has(peer.id) || this.#ending.signal.aborted || this.#connections.size >= MAX_LINKS) {
      return;
    }
    if ((this.#notBefore.get(peer.id) ?? 0) > clock.now()) return;
    this.#begin(peer, inTurn);
  }

  #begin(peer: PeerInfo, inTurn: boolean): void {
    this.#dialling.set(peer.id, peer);
    void this.#dial(peer, inTurn).finally(() => this.#dialling.delete(peer.id));
  }

  /** The second link by the same side takes the place of the first, on both sides: nothing has to be ended before. */
  #relink(): void {
    const self = this.#deps.hello().peer.id;
    let room = RELINKS_AT_ONCE - this.#dialling.size;
    for (const [id, { dialer, link, neighbour }] of this.#connections) {
      if (room <= 0 || dialer !== self) continue;
      const isLeftAlone = (this.#notBefore.get(id) ?? 0) > this.#deps.clock.now();
      if (isLeftAlone || this.#dialling.has(id) || link.isOld !== true) continue;
      room--;
      this.#begin(neighbour.peer, true);
    }
  }

  /** @param inTurn it could not dial us: when we cannot dial it either, nobody can help */
  async #dial(peer: PeerInfo, inTurn: boolean): Promise<void> {
    const { clock, dialer, discovery, log } = this.#deps;
    // Supernodes are busy when they are slow; they dial nobody but each other.
    let told = inTurn || peer.role !== 'node';
    const unreached = (): void => {
      if (told || this.#connections.has(peer.id) || this.#ending.signal.aborted) return;
      told = true;
      this.#toldOf.set(peer.id, true);
      discovery?.unreached(peer);
    };
    const cancelTelling = clock.after(UNREACHED_AFTER_MS, unreached);
    const timeout = new AbortController();
    const cancel = clock.after(DIAL_TIMEOUT_MS, () =>
      timeout.abort(new DamselflyError('PEER_UNREACHABLE', `no answer within ${DIAL_TIMEOUT_MS} ms`)),
    );
    try {
      const signal = AbortSignal.any([timeout.signal, this.#ending.signal]);
      const link = await dialer.dial({ host: peer.host, port: peer.port }, { signal });
      // Behind an address that several machines share. A hello would take the place of the link that it may have.
      if (link.member !== undefined && link.member.id !== peer.id) {
        link.close('another was dialled');
        throw new DamselflyError('PEER_UNREACHABLE', `${link.member.id} is there`);
      }
      // It was only slow, or away for a moment.
      if (this.#toldOf.get(peer.id) === true) discovery?.reached(peer);
      this.#toldOf.delete(peer.id);
      this.#greet(link, true);
    } catch (error) {
      this.#notBefore.set(peer.id, clock.now() + REDIAL_AFTER_MS);
      unreached();
      log.debug(
        { peer: peer.id, host: peer.host, port: peer.port, error: describeError(error) },
        'peer not reached',
      );
    } finally {
      cancel();
      cancelTelling();
    }
  }

  /** Takes a link that a peer dialled. */
  accept(link: Link): void {
    if (this.#ending.signal.aborted || this.#connections.size + this.#pending.size >= MAX_LINKS * 2) {
      link.close('too many links');
    } else this.#greet(link, false);
  }

  #greet(link: Link, dialledByUs: boolean): void {
    const { clock, hello, log } = this.#deps;
    let connection: Connection | undefined;
    let refused = false;
    this.#pending.add(link);
    const cancelTimeout = clock.after(HELLO_TIMEOUT_MS, () => link.close('no hello'));
    // First, because listening may deliver their hello at once, and everything after it answers that.
    link.send(encodePeerMessage(hello()));
    link.listen({
      message: (bytes) => {
        try {
          const message = decodePeerMessage(bytes);
          // Who was refused may have said more before it heard of that.
          if (message === undefined || refused) return;
          if (connection !== undefined) {
            // A link that lost against a second one to the same peer may still deliver what was under way.
            const { neighbour } = connection;
            if (this.#connections.get(neighbour.peer.id) !== connection) return;
            if (message.type === 'reverse') this.#askedBack(neighbour.peer, link.remoteHost);
            else this.#events.message(neighbour, message);
            return;
          }
          if (message.type !== 'hello') throw new DamselflyError('PEER_PROTOCOL', 'a message before hello');
          cancelTimeout();
          this.#pending.delete(link);
          connection = this.#welcome(link, message, dialledByUs);
          refused = connection === undefined;
        } catch (error) {
          log.warn({ host: link.remoteHost, error: describeError(error) }, 'peer broke the protocol');
          link.close('protocol error');
        }
      },
      closed: () => {
        cancelTimeout();
        this.#pending.delete(link);
        if (connection !== undefined) this.#drop(connection);
      },
    });
  }

  #welcome(link: Link, hello: Hello, dialledByUs: boolean): Connection | undefined {
    const self = this.#deps.hello().peer.id;
    const { peer } = hello;
    if (hello.protocol !== PEER_PROTOCOL_VERSION) {
      throw new DamselflyError(
        'PEER_PROTOCOL',
        `speaks protocol ${hello.protocol}, we speak ${PEER_PROTOCOL_VERSION}`,
      );
    }
    const { member } = link;
    if (member !== undefined && (member.id !== peer.id || member.role !== peer.role)) {
      this.#deps.metrics.strangers.inc({ reason: 'other-identity' });
      throw new DamselflyError('PEER_PROTOCOL', `a ${member.role} says hello in the name of another`);
    }
    if (peer.id === self || this.#banned.has(peer.id)) {
      link.close('not welcome');
      return undefined;
    }
    if (!dialledByUs) this.#reversals.noteDialled(peer.id);
    const connection: Connection = {
      link,
      dialer: dialledByUs ? self : peer.id,
      sinceMs: this.#deps.clock.now(),
      neighbour: new Neighbour(
        { ...peer, host: peer.host || link.remoteHost },
        (message) => this.#send(link, message),
        member?.fingerprint,
      ),
    };
    connection.neighbour.distrusted = this.#distrusted.has(peer.id);
    const other = this.#connections.get(peer.id);
    // Both sides may have dialled at once: both keep the link of the smaller id. A second dial by the same side means
    // that it lost the first one.
    if (other !== undefined) {
      if (other.dialer !== connection.dialer && connection.dialer > other.dialer) {
        link.close('already linked');
        this.#count();
        return undefined;
      }
      this.#drop(other);
      other.link.close('linked anew');
    }
    if (dialledByUs && link.isOld !== undefined) {
      this.#stopRelinking ??= every(this.#deps.clock, RELINK_EVERY_MS, () => this.#relink());
    }
    this.#connections.set(peer.id, connection);
    this.#count();
    this.#deps.trace?.(this.#deps.clock.now(), linkUp(connection.neighbour.peer));
    this.#events.up(connection.neighbour, hello);
    return connection;
  }

  /** It is connected to where its link leads: in its hello it could name any machine. */
  #askedBack(peer: PeerInfo, remoteHost: string): void {
    this.#reversals.asked({ ...peer, host: remoteHost || peer.host });
    this.#count();
  }

  #count(): void {
    const { links, linksNotDialled } = this.#deps.metrics;
    links.set(this.#connections.size);
    linksNotDialled.set(this.#reversals.countUndialled((id) => this.#connections.has(id)));
  }

  #send(link: Link, message: PeerMessage): void {
    for (const bytes of encodePeerMessages(message)) link.send(bytes);
    if (link.bufferedBytes > MAX_BUFFERED_BYTES) link.close('does not read its messages');
  }

  #drop(connection: Connection): void {
    const { peer } = connection.neighbour;
    if (this.#connections.get(peer.id) !== connection) return;
    this.#connections.delete(peer.id);
    this.#count();
    this.#deps.trace?.(this.#deps.clock.now(), { kind: 'link-down', peer: peer.id });
    this.#events.down(connection.neighbour);
  }

  /** Closes links of no use, the oldest first, while there are more than a few: others need the room. @returns how many */
  closeUnused(): number {
    const beyond = this.#connections.size - KEPT_LINKS;
    if (beyond <= 0) return 0;
    const now = this.#deps.clock.now();
    const unused = [...this.#connections.values()].filter(
      ({ neighbour, sinceMs }) => !neighbour.isOfUse && now - sinceMs > NEW_LINK_MS,
    );
    const closed = unused.slice(0, beyond);
    for (const { link } of closed) link.close('unused');
    return closed.length;
  }

  /** Whether there is anybody from whom nothing is taken any more. */
  get hasDistrusted(): boolean {
    return this.#banned.size > 0 || this.#distrusted.size > 0;
  }

  banned(id: string): boolean {
    return this.#banned.has(id);
  }

  /** Whether nothing is to be taken from the peer. */
  distrusted(id: string): boolean {
    return this.#distrusted.has(id) || this.#banned.has(id);
  }

  /**
   * Takes nothing from this peer again while the process lives, because it sent wrong bytes. A failing disk or card may
   * be why: were it given nothing either, it would read all that it pulls from the registry.
   * @returns its link, if there is one
   */
  distrust(id: string, reason: string): Neighbour | undefined {
    const linked = this.get(id);
    if (this.distrusted(id)) return linked;
    this.#distrusted.add(id);
    this.#tellBan(id, reason);
    if (linked !== undefined) linked.distrusted = true;
    return linked;
  }

  /** Never speaks to this peer again while the process lives. */
  ban(id: string, reason: string): void {
    if (this.#banned.has(id)) return;
    this.#banned.add(id);
    this.#tellBan(id, reason);
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#drop(connection);
    connection.link.close('banned');
  }

  #tellBan(peer: string, reason: string): void {
    const { clock, log, metrics, trace } = this.#deps;
    metrics.peersBanned.inc({ reason });
    log.warn({ peer, reason }, 'peer banned');
    trace?.(clock.now(), { kind: 'ban', peer, reason });
  }

  close(): void {
    this.#stopRelinking?.();
    this.#reversals.close();
    this.#ending.abort(abortedError(AbortSignal.abort('stopping')));
    for (const link of this.#pending) link.close('stopping');
    for (const { link } of [...this.#connections.values()]) link.close('stopping');
  }
}

function linkUp({ host, id, port, role, zone }: PeerInfo): TraceEvent {
  return { kind: 'link-up', peer: id, role, host, port, zone };
}
