import { type ClusterSettings, isNewer } from '../../core/cluster-settings.ts';
import type { Digest } from '../../core/digest.ts';
import { DamselflyError, describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import { rendezvousOwner } from '../../core/rendezvous.ts';
import { supernodesFor } from '../../core/zones.ts';
import { setterOf } from '../../security/signed-settings.ts';
import { settingsOf } from '../../wire/control-codec.ts';
import { CONTROL_PATH, type ControlMessage, MAX_BLOBS_PER_MESSAGE } from '../../wire/control-messages.ts';
import { isPreheatMessage } from '../../wire/preheat-codec.ts';
import type { Announcement, Discovery, DiscoveryListener } from '../discovery.ts';
import type { PreheatPort } from '../preheat-port.ts';
import { TrackerLeases } from './tracker-leases.ts';
import { TrackerLink, type TrackerLinkDeps } from './tracker-link.ts';

/** Every node holds a connection to every tracker; more would cost each tracker machine more than it takes off it. */
const MAX_TRACKERS = 8;
/**
 * The layers of one image are asked for within a few milliseconds of each other: the first one is announced at once, a
 * client waits for it; all others within this time after it in one message.
 */
const BATCH_MS = 10;
/** When everybody must announce again (tracker lost, new supernodes), they do not do it in the same instant. */
const REANNOUNCE_JITTER_MS = 500;

export interface TrackerDiscoveryDeps extends TrackerLinkDeps {
  /** Takes orders of trackers to preheat. @default none are taken */
  readonly preheat?: PreheatPort | undefined;
}

export interface TrackerDiscoveryOptions {
  /**
   * 1 to {@link MAX_TRACKERS} tracker URLs, `ws://host:8400` (or wss, http, https). Blobs are divided over them by
   * these very texts, so all processes must spell them alike; the order does not matter.
   */
  readonly trackers: readonly string[];
  /** This process; an empty `host` stands for the address that the tracker sees it come from. */
  readonly peer: PeerInfo;
}

interface Shared {
  announcement: Announcement;
  /** The tracker that knows of it. */
  link: TrackerLink | undefined;
  /** Trackers that were doubted, and know of it still if they are there. */
  left?: Set<TrackerLink>;
}

/**
 * Finds peers through trackers, over one control WebSocket to each. A blob belongs to one tracker at a time, by
 * rendezvous hashing among those that answer.
 * @throws CONFIG_INVALID for a URL that cannot be one, or too many
 */
export function createTrackerDiscovery(
  deps: TrackerDiscoveryDeps,
  options: TrackerDiscoveryOptions,
): Discovery {
  const secure = deps.credentials !== undefined;
  const urls = [...new Set(options.trackers.map((text) => controlUrl(text, secure)))];
  if (urls.length === 0 || urls.length > MAX_TRACKERS) {
    throw new DamselflyError('CONFIG_INVALID', `give 1 to ${MAX_TRACKERS} trackers, not ${urls.length}`);
  }
  return new TrackerDiscovery(deps, urls, options.peer);
}

class TrackerDiscovery implements Discovery {
  readonly #deps: TrackerDiscoveryDeps;
  readonly #peer: PeerInfo;
  readonly #links: readonly TrackerLink[];
  readonly leases: TrackerLeases;
  readonly #shared = new Map<Digest, Shared>();
  /** To be announced with the next batch. */
  readonly #dirty = new Set<Digest>();
  readonly #stalled = new Set<Digest>();
  /** Announced, or about to be, as incomplete: an answer is to come. */
  readonly #unanswered = new Set<Digest>();
  readonly #withdrawals = new Map<TrackerLink, Digest[]>();
  #listener: DiscoveryListener | undefined;
  #settings: ClusterSettings | undefined;
  #settingsListener: (settings: ClusterSettings) => void = () => {};
  #wasReachable = false;
  #closed = false;
  #flushAtMs = Number.POSITIVE_INFINITY;
  #cancelFlush: () => void = () => {};
  #flushedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: TrackerDiscoveryDeps, urls: readonly string[], peer: PeerInfo) {
    this.#deps = deps;
    this.#peer = peer;
    this.#links = urls.map((url) => {
      const link: TrackerLink = new TrackerLink(
        deps,
        { url, peer },
        {
          welcomed: (settings) => this.#welcomed(link, settings),
          message: (message) => this.#receive(link, message),
          lost: () => this.#lost(link),
          // Behind a border that is cut there may be several: all are found out at once.
          late: () => this.#links.forEach((other) => other.check()),
          doubted: (doubted) => this.#doubted(link, doubted),
        },
      );
      return link;
    });
    this.leases = new TrackerLeases(deps.clock, () => this.#offices);
    deps.preheat?.trackers(this.#links);
  }

  get reachable(): boolean {
    return this.#links.some((link) => link.connected);
  }

  owes(digest: Digest): boolean {
    return this.reachable && this.#unanswered.has(digest);
  }

  /**
   * Those that blobs are divided over: one that does not answer is passed over while others do. Were none left, it would be
   * the best there is.
   */
  get #offices(): readonly TrackerLink[] {
    const answering = this.#links.filter((link) => link.answers);
    return answering.length > 0 ? answering : this.#links.filter((link) => link.connected);
  }

  /** Whose word on supernodes counts: what the trackers told before they went is better than nothing. */
  get #tellers(): readonly TrackerLink[] {
    const offices = this.#offices;
    return offices.length > 0 ? offices : this.#links;
  }

  get supernodes(): readonly PeerInfo[] {
    const told = this.#tellers.flatMap((link) => link.supernodes);
    return [...new Map(told.map((peer) => [peer.id, peer])).values()];
  }

  owner(digest: Digest): PeerInfo | undefined {
    const link = rendezvousOwner(digest, this.#tellers);
    return link && rendezvousOwner(digest, supernodesFor(this.#peer.zone, link.supernodes));
  }

  listen(listener: DiscoveryListener): void {
    this.#listener = listener;
  }

  get settings(): ClusterSettings | undefined {
    return this.#settings;
  }

  shareSettings(settings: ClusterSettings): void {
    if (!isNewer(settings, this.#settings)) return;
    this.#settings = settings;
    for (const link of this.#links) link.send({ type: 'settings', ...settings });
  }

  listenSettings(listener: (settings: ClusterSettings) => void): void {
    this.#settingsListener = listener;
    if (this.#settings !== undefined) listener(this.#settings);
  }

  announce(announcements: readonly Announcement[]): void {
    for (const { stalled, ...announcement } of announcements) {
      const { digest } = announcement;
      this.#shared.set(digest, { link: undefined, ...this.#shared.get(digest), announcement });
      this.#markDirty(digest, announcement.have);
      if (stalled === true) this.#stalled.add(digest);
    }
    this.#flushSoon();
  }

  withdraw(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const { left = [], link } = this.#shared.get(digest) ?? {};
      this.#shared.delete(digest);
      this.#dirty.delete(digest);
      this.#stalled.delete(digest);
      this.#unanswered.delete(digest);
      for (const knows of left) this.#withdrawFrom(knows, digest);
      if (link !== undefined) this.#withdrawFrom(link, digest);
    }
    this.#flushSoon();
  }

  unreached({ id }: PeerInfo): void {
    for (const link of this.#links) link.send({ type: 'unreached', ids: [id] });
  }

  reached({ id }: PeerInfo): void {
    for (const link of this.#links) link.send({ type: 'reached', ids: [id] });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelFlush();
    await Promise.all(this.#links.map((link) => link.close()));
  }

  #flushSoon(): void {
    this.#flushWithin(Math.max(0, this.#flushedAtMs + BATCH_MS - this.#deps.clock.now()));
  }

  #flushWithin(delayMs: number): void {
    const atMs = this.#deps.clock.now() + delayMs;
    if (this.#closed || atMs >= this.#flushAtMs) return;
    this.#flushAtMs = atMs;
    this.#cancelFlush();
    this.#cancelFlush = this.#deps.clock.after(delayMs, () => this.#flush());
  }

  #flush(): void {
    this.#flushAtMs = Number.POSITIVE_INFINITY;
    this.#flushedAtMs = this.#deps.clock.now();
    const offices = this.#offices;
    const batches = new Map<TrackerLink, Announcement[]>();
    for (const digest of this.#dirty) {
      const shared = this.#shared.get(digest);
      const owner = rendezvousOwner(digest, offices);
      if (shared === undefined || owner === undefined) continue;
      if (shared.link !== undefined && shared.link !== owner) this.#withdrawFrom(shared.link, digest);
      shared.link = owner;
      shared.left?.delete(owner);
      const { announcement } = shared;
      const batch = batches.get(owner) ?? [];
      batch.push(this.#stalled.has(digest) ? { ...announcement, stalled: true } : announcement);
      batches.set(owner, batch);
    }
    this.#dirty.clear();
    this.#stalled.clear();
    // Withdrawals first: of a blob withdrawn and announced again within one batch, the announcement must win.
    for (const [link, digests] of this.#withdrawals) {
      for (const chunk of chunks(digests)) link.send({ type: 'withdraw', digests: chunk });
    }
    this.#withdrawals.clear();
    for (const [link, batch] of batches) {
      for (const blobs of chunks(batch)) link.send({ type: 'announce', blobs });
    }
  }

  #markDirty(digest: Digest, have: Announcement['have']): void {
    this.#dirty.add(digest);
    if (have === 'all') this.#unanswered.delete(digest);
    else this.#unanswered.add(digest);
  }

  #withdrawFrom(link: TrackerLink, digest: Digest): void {
    const digests = this.#withdrawals.get(link);
    if (digests === undefined) this.#withdrawals.set(link, [digest]);
    else digests.push(digest);
  }

  /** The tracker is new or has forgotten us: it gets what it owns, including what others held for it meanwhile. */
  #welcomed(link: TrackerLink, settings: ClusterSettings | undefined): void {
    this.#announceTo(link, () => true, BATCH_MS);
    this.#toldSettings(link, settings);
    this.#guard(() => this.#deps.preheat?.welcomed(link));
    this.#tellReachable();
  }

  #announceTo(link: TrackerLink, isNews: (shared: Shared) => boolean, withinMs: number): void {
    const offices = this.#offices;
    for (const [digest, shared] of this.#shared) {
      if (rendezvousOwner(digest, offices) !== link || !isNews(shared)) continue;
      this.#markDirty(digest, shared.announcement.have);
    }
    this.#flushWithin(withinMs);
  }

  /**
   * A tracker may be gone, as one is behind a border that is cut: others are asked for what is wanted, if they are there.
   * What we have complete stays there: it may only be slow, and a crowd that told all of it anew would slow down the rest.
   */
  #doubted(link: TrackerLink, doubted: boolean): void {
    if (!doubted) this.#moveBack(link);
    else if (this.#offices.includes(link)) return;
    else this.#moveFrom(link, ({ announcement }) => announcement.have !== 'all');
    this.#tell((listener) => listener.supernodesChanged?.());
  }

  /** It speaks again, to a crowd perhaps. What is complete with one that is doubted still stays there too. */
  #moveBack(link: TrackerLink): void {
    const connected = this.#links.filter((each) => each.connected);
    const isNews = ({ announcement: { digest, have }, link: at }: Shared): boolean =>
      at !== link && (have !== 'all' || at === undefined || at !== rendezvousOwner(digest, connected));
    this.#announceTo(link, isNews, this.#deps.rng.float() * REANNOUNCE_JITTER_MS);
  }

  /** What it was asked others are asked. While it is connected it may hear later that we do not share it any more. */
  #moveFrom(link: TrackerLink, moves: (shared: Shared) => boolean): void {
    this.leases.lost(link);
    for (const [digest, shared] of this.#shared) {
      if (!link.connected) shared.left?.delete(link);
      if (shared.link !== link || !moves(shared)) continue;
      if (link.connected) shared.left = (shared.left ?? new Set()).add(link);
      shared.link = undefined;
      this.#markDirty(digest, shared.announcement.have);
    }
    this.#flushWithin(this.#deps.rng.float() * REANNOUNCE_JITTER_MS);
  }

  /** A tracker says what it thinks is the newest; it, or the others, may not know better. */
  #toldSettings(link: TrackerLink, told: ClusterSettings | undefined): void {
    const settings = told !== undefined && this.#obeys(link, told) ? told : undefined;
    const known = this.#settings;
    if (known !== undefined && (settings === undefined || isNewer(known, settings))) {
      link.send({ type: 'settings', ...known });
    } else if (settings !== undefined) {
      this.#settings = settings;
      if (isNewer(settings, known)) {
        for (const other of this.#links) if (other !== link) other.send({ type: 'settings', ...settings });
      }
      this.#guard(() => this.#settingsListener(settings));
    }
  }

  /** Whether somebody has set them who may: a tracker passes on what it was told. */
  #obeys(link: TrackerLink, settings: ClusterSettings): boolean {
    const { credentials, log } = this.#deps;
    const checked = credentials && setterOf(credentials, settings);
    if (checked?.kind !== 'refused') return true;
    log.warn(
      { tracker: link.id, reason: checked.reason },
      'settings that no tracker of the cluster has signed',
    );
    return false;
  }

  #lost(link: TrackerLink): void {
    this.#withdrawals.delete(link);
    this.#guard(() => this.#deps.preheat?.lost(link));
    this.#moveFrom(link, () => true);
    this.#tellReachable();
  }

  #receive(link: TrackerLink, message: ControlMessage): void {
    if (message.type === 'neighbours') {
      for (const { digest, peers, owned } of message.blobs) {
        if (!this.#shared.has(digest)) continue;
        this.#unanswered.delete(digest);
        this.#tell((listener) => listener.neighbours(digest, peers, owned === true));
      }
    } else if (message.type === 'epoch') {
      for (const [digest, { announcement, link: owner }] of this.#shared) {
        if (owner === link && announcement.have !== 'all') this.#markDirty(digest, announcement.have);
      }
      this.#flushWithin(this.#deps.rng.float() * REANNOUNCE_JITTER_MS);
      this.#tell((listener) => listener.supernodesChanged?.());
    } else if (message.type === 'settings') {
      this.#toldSettings(link, settingsOf(message));
    } else if (message.type === 'dial') {
      for (const peer of message.peers) this.#tell((listener) => listener.dial?.(peer));
    } else if (message.type === 'leased' || message.type === 'lease-refused') {
      this.leases.heard(message);
    } else if (isPreheatMessage(message)) this.#guard(() => this.#deps.preheat?.heard(link, message));
  }

  #tellReachable(): void {
    const { reachable } = this;
    if (reachable === this.#wasReachable) return;
    this.#wasReachable = reachable;
    this.#tell((listener) => listener.reachable(reachable));
  }

  #tell(call: (listener: DiscoveryListener) => void): void {
    const listener = this.#listener;
    if (listener !== undefined) this.#guard(() => call(listener));
  }

  /** A listener that throws is a bug of its owner and must not cost the connection to the tracker. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#deps.log.error({ problem: describeError(error) }, 'discovery listener failed');
    }
  }
}

function* chunks<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let at = 0; at < items.length; at += MAX_BLOBS_PER_MESSAGE) {
    yield items.slice(at, at + MAX_BLOBS_PER_MESSAGE);
  }
}

/** @param secure whatever the text says, the tracker is spoken to over TLS */
function controlUrl(text: string, secure: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^(?:ws|http)s?:$/.test(url.protocol) || url.hostname === '') {
    throw new DamselflyError(
      'CONFIG_INVALID',
      `not a tracker URL like ws://host:8400: ${JSON.stringify(text)}`,
    );
  }
  url.protocol = secure ? 'wss:' : url.protocol.replace('http', 'ws');
  if (url.pathname === '/') url.pathname = CONTROL_PATH;
  url.hash = '';
  url.username = '';
  url.password = '';
  return url.href;
}
