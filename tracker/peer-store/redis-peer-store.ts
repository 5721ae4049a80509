import { type ClusterSettings, isNewer } from '../../lib/core/cluster-settings.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { describeError } from '../../lib/core/errors.ts';
import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import { type Rng, randomHex } from '../../lib/runtime/rng.ts';
import { LEASE_TTL_MS } from '../../lib/swarm/lease-table.ts';
import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { encodeControl } from '../../lib/wire/control-codec.ts';
import { MAX_PEERS_PER_MESSAGE } from '../../lib/wire/control-messages.ts';
import type { TrackerMetrics } from '../metrics.ts';
import { OwnAddress } from './own-address.ts';
import type { PeerStore, PeerStoreHost } from './peer-store.ts';
import { connectRedis, type RedisConnection } from './redis-connection.ts';
import { RedisLeases } from './redis-leases.ts';
import { RedisSweep } from './redis-sweep.ts';
import { RemoteSharers } from './remote-sharers.ts';
import { RemoteSupernodes } from './remote-supernodes.ts';
import { decodeReport, encodeReport, type TrackerReport } from './shared-peer.ts';
import { readSettings } from './shared-settings.ts';
import { WriteBehind } from './write-behind.ts';

const PREFIX = 'damselfly:';
/** Batches of what members told go out, and blobs are looked up, this often. */
const FLUSH_MS = 50;
/** Trackers tell one another that they live, and which supernodes are theirs. */
const BEAT_MS = 1_000;
/** A tracker that has not done so for this long counts as gone. */
const SILENT_MS = 3_500;
/** And then what it told is removed. */
const FORGOTTEN_MS = 60_000;
/** What other trackers told is still believed for so long after Redis has gone. */
const BELIEVED_MS = 60_000;
/** Blobs looked up in one go, and nodes asked for of each. */
const LOOKS_AT_ONCE = 200;
const SAMPLE = 64;
/** Blobs written anew in each {@link FLUSH_MS}: many after Redis was gone, else so that each has its turn in time. */
const ANEW_FAST = 200;
const ANEW_SLOW = 2;
const ANEW_EVERY_MS = 20 * 60_000;

export interface RedisPeerStoreDeps {
  readonly core: TrackerCore;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly metrics: Pick<TrackerMetrics, 'peerStoreUp' | 'peerStoreWrites' | 'remoteNodes'>;
}

/** Dials Redis; a tracker starts whether or not it answers. @param url with the password, if it has one */
export async function createRedisPeerStore(deps: RedisPeerStoreDeps, url: string): Promise<PeerStore> {
  const store = new RedisPeerStore(deps);
  store.use(await connectRedis(url, PREFIX, store));
  return store;
}

/**
 * Trackers that share through Redis. Members are answered from memory; what they tell follows to Redis within
 * {@link FLUSH_MS}, and what they told other trackers is read when a node here wants the same blob. Leases alone are
 * asked of Redis each time. When it does not answer, this tracker goes on by itself, and comes back as a new one:
 * everything is written anew under another name, so that what it could not take back counts no more.
 */
class RedisPeerStore implements PeerStore {
  readonly #deps: RedisPeerStoreDeps;
  readonly #writes: WriteBehind;
  #redis!: RedisConnection;
  #leases!: RedisLeases;
  #sweep!: RedisSweep;
  readonly #address = new OwnAddress(() => {
    // What was told of members on this machine until now leads others to where they are not.
    this.#startOver = true;
  });
  #host!: PeerStoreHost;
  #remote!: RemoteSharers;
  /** This tracker among those that share. */
  #incarnation: string;
  #others: ReadonlyMap<string, TrackerReport> = new Map();
  #supernodes!: RemoteSupernodes;
  /** Why this tracker is by itself. */
  #problem: string | undefined = 'not connected yet';
  #told = false;
  #goneSinceMs: number;
  #settings: ClusterSettings | undefined;
  #anew: IterableIterator<string> | undefined;
  #anewStep = ANEW_SLOW;
  #anewAtMs = 0;
  #started = false;
  /** More news came than is kept: everything is to be written anew, under another name. */
  #startOver = false;
  #toldEpoch = -1;
  #beating = false;
  #flushing = false;
  #closed = false;
  #stop = (): void => {};

  constructor(deps: RedisPeerStoreDeps) {
    this.#deps = deps;
    this.#writes = new WriteBehind(deps.core, PREFIX, this.#address);
    this.#incarnation = randomHex(deps.rng, 8);
    this.#goneSinceMs = deps.clock.now();
    deps.metrics.peerStoreUp.set({ store: 'redis' }, 0);
    deps.core.onExit = (id, digest) => this.#writes.add(digest, id);
  }

  use(redis: RedisConnection): void {
    this.#redis = redis;
    this.#leases = new RedisLeases(redis, this.#address);
    this.#sweep = new RedisSweep(redis);
  }

  start(host: PeerStoreHost): void {
    const { clock, core } = this.#deps;
    this.#host = host;
    this.#remote = new RemoteSharers(core, (id) => host.isConnected(id));
    this.#supernodes = new RemoteSupernodes(core, (id) => host.isConnected(id));
    const stopBeat = every(clock, BEAT_MS, () => this.#beatSoon());
    const stopFlush = every(clock, FLUSH_MS, () => this.#flushSoon());
    this.#stop = () => {
      stopBeat();
      stopFlush();
    };
    this.#started = true;
    this.#beatSoon();
  }

  get notes(): readonly string[] {
    if (this.#problem === undefined) return [];
    return [
      `peer store: nothing is shared through Redis (${this.#problem}): this tracker goes on from memory`,
    ];
  }

  ready(): void {
    this.#beatSoon();
  }

  gone(problem: string): void {
    this.#alone(problem);
  }

  announced(id: string, digest: Digest, have: 'none' | 'some' | 'all'): void {
    const { clock, core } = this.#deps;
    if (core.member(id)?.role !== 'node') return;
    this.#remote.ours(digest, id);
    this.#writes.add(digest, id);
    if (have !== 'all') this.#remote.want(digest, clock.now());
  }

  withdrawn(id: string, digests: readonly Digest[]): void {
    for (const digest of digests) this.#giveUp(id, digest);
  }

  left(id: string): void {
    this.#giveUp(id);
  }

  /** Ends leases of which this tracker knows: a node that is connected to others goes on with those that it has there. */
  #giveUp(id: string, digest?: Digest): void {
    for (const token of this.#deps.core.leases.tokensOf(id, digest)) {
      void this.#try(() => this.#leases.release(id, token, false));
    }
  }

  async lease(id: string, wish: LeaseWish): Promise<LeaseAnswer> {
    const { clock, core } = this.#deps;
    const holder = core.member(id);
    const leastToken = core.leases.lastToken + 1;
    const answer =
      holder && (await this.#try(() => this.#leases.ask(holder, wish, { nodes: this.#nodes, leastToken })));
    if (answer === undefined) return core.lease(id, wish, clock.now());
    if (answer.kind === 'granted' && core.member(id) !== undefined) {
      const { stripe, token, ttlMs } = answer;
      const { aside, digest, upstream } = wish;
      core.leases.adopt({ holder: id, digest, upstream, aside, stripe, token }, ttlMs, clock.now());
    }
    return answer;
  }

  async renewLease(id: string, token: number): Promise<LeaseAnswer> {
    const { clock, core } = this.#deps;
    const renewed = await this.#try(async () => ({ lease: await this.#leases.renew(id, token) }));
    if (renewed === undefined) return core.renewLease(id, token, clock.now());
    const { lease } = renewed;
    if (lease === undefined) {
      core.releaseLease(id, token, false, clock.now());
      return { kind: 'refused', reason: 'lost', retryMs: 0, holders: [] };
    }
    // It may have been given away by a tracker that is gone.
    if (core.member(id) !== undefined) core.leases.adopt(lease, LEASE_TTL_MS, clock.now());
    return { kind: 'granted', stripe: lease.stripe, token, ttlMs: LEASE_TTL_MS };
  }

  releaseLease(id: string, token: number, read: boolean): void {
    const { clock, core } = this.#deps;
    core.releaseLease(id, token, read, clock.now());
    void this.#try(() => this.#leases.release(id, token, read));
  }

  tellSettings(settings: ClusterSettings): void {
    this.#settings = settings;
    this.#beatSoon();
  }

  reachedAt(address: string | undefined): () => void {
    return this.#address.cameTo(address);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#stop();
    this.#closed = true;
    const goodbye = [['hdel', `${PREFIX}trackers`, this.#incarnation]] as const;
    if (this.#redis.ready) await this.#redis.send(goodbye).catch(() => {});
    await this.#redis.close();
  }

  get #shared(): boolean {
    return this.#problem === undefined && !this.#closed;
  }

  /** Nodes of the cluster: as many as the tracker with most of them has, since nodes may be connected to several. */
  get #nodes(): number {
    return Math.max(this.#own().nodes, ...[...this.#others.values()].map(({ nodes }) => nodes));
  }

  #own(): TrackerReport {
    const { core } = this.#deps;
    const supernodes = core.supernodes.filter(({ id }) => this.#host.isConnected(id));
    const nodes = this.#host.connected - supernodes.length;
    const told = supernodes.slice(0, MAX_PEERS_PER_MESSAGE);
    return { nodes, supernodes: told.map((each) => this.#address.forOthers(each)) };
  }

  /** @returns undefined when Redis does not answer: then nobody shares any more */
  async #try<T>(act: () => Promise<T>): Promise<T | undefined> {
    if (!this.#shared) return undefined;
    try {
      return await act();
    } catch (error) {
      this.#alone(describeError(error));
      return undefined;
    }
  }

  #alone(problem: string): void {
    if (this.#closed) return;
    const { clock, log, metrics } = this.#deps;
    if (this.#problem === undefined) this.#goneSinceMs = clock.now();
    this.#problem = problem;
    this.#writes.clear();
    metrics.peerStoreUp.set({ store: 'redis' }, 0);
    if (!this.#told) {
      log.warn({ problem }, 'nothing is shared through Redis: this tracker goes on from memory');
    }
    this.#told = true;
  }

  #beatSoon(): void {
    const { clock } = this.#deps;
    if (this.#closed || !this.#started) return;
    if (this.#problem !== undefined && clock.now() - this.#goneSinceMs > BELIEVED_MS) {
      this.#heardOf(new Map());
    }
    if (this.#beating || !this.#redis.ready) return;
    this.#beating = true;
    void this.#beat()
      .catch((error: unknown) => this.#alone(describeError(error)))
      .finally(() => {
        this.#beating = false;
      });
  }

  async #beat(): Promise<void> {
    const { core, metrics } = this.#deps;
    this.#address.dialledFrom(this.#redis.localAddress);
    const anew = this.#problem !== undefined || this.#startOver;
    this.#startOver = false;
    if (anew) this.#incarnation = randomHex(this.#deps.rng, 8);
    const { epoch } = core;
    const told = [this.#incarnation, encodeReport(this.#own()), SILENT_MS, FORGOTTEN_MS];
    const answer = await this.#redis.run('beat', told);
    const [live, settings, isNew] = answer as [string[], string | null, number];
    if (this.#closed) return;
    // The others took this one for gone (it stood still, or the clock of Redis jumped), and sweep away what it wrote.
    if (isNew === 1 && !anew) this.#startOver = true;
    const others = new Map<string, TrackerReport>();
    for (let at = 0; at + 1 < live.length; at += 2) {
      const report = decodeReport(live[at + 1] ?? '');
      if (report !== undefined) others.set(live[at] ?? '', report);
    }
    const changedMeanwhile = core.epoch !== epoch;
    this.#heardOf(others);
    this.#toldEpoch = changedMeanwhile ? epoch : core.epoch;
    this.#remote.sweep();
    metrics.remoteNodes.set(this.#remote.nodes);
    await this.#agreeOnSettings(settings);
    if (this.#problem !== undefined) await this.#comeBack();
    // One of the trackers does it for all.
    if ([...others.keys()].every((other) => this.#incarnation < other)) this.#sweep.stepSoon();
    if (!anew) return;
    this.#anew = core.blobs();
    this.#anewStep = ANEW_FAST;
  }

  /** Redis answers: writes everything anew, and what leases were given away meanwhile. */
  async #comeBack(): Promise<void> {
    const { clock, core, log, metrics } = this.#deps;
    for (const lease of [...core.leases.held(clock.now())]) {
      const holder = core.member(lease.holder);
      if (holder !== undefined) await this.#leases.restore(holder, lease);
    }
    this.#problem = undefined;
    this.#told = false;
    metrics.peerStoreUp.set({ store: 'redis' }, 1);
    log.info({ trackers: this.#others.size + 1 }, 'peers and leases are shared through Redis');
  }

  /** These other trackers live, and have these supernodes. */
  #heardOf(others: ReadonlyMap<string, TrackerReport>): void {
    const { clock } = this.#deps;
    const before = this.#others;
    this.#others = others;
    if ([...before.keys()].some((incarnation) => !others.has(incarnation))) {
      this.#remote.keepOnly((incarnation) => others.has(incarnation));
    }
    const supernodes = [...others.values()].flatMap((report) => report.supernodes);
    if (this.#supernodes.set(supernodes, clock.now())) this.#host.supernodesChanged();
  }

  async #agreeOnSettings(text: string | null): Promise<void> {
    const read = readSettings(text);
    // What is not obeyed is as good as not there: ours take its place.
    const stored = read !== undefined && this.#host.obeys(read) ? read : undefined;
    const own = this.#settings;
    if (stored !== undefined && isNewer(stored, own)) {
      this.#settings = stored;
      this.#host.toldSettings(stored);
    } else if (own !== undefined && isNewer(own, stored)) {
      await this.#redis.send([['set', `${PREFIX}settings`, encodeControl({ type: 'settings', ...own })]]);
    }
  }

  #flushSoon(): void {
    if (this.#deps.core.epoch !== this.#toldEpoch) this.#beatSoon();
    if (!this.#shared || this.#flushing) return;
    this.#flushing = true;
    void this.#try(() => this.#flush()).finally(() => {
      this.#flushing = false;
    });
  }

  async #flush(): Promise<void> {
    const { clock, metrics } = this.#deps;
    if (this.#writes.takeOverflow()) {
      this.#startOver = true;
      this.#beatSoon();
    }
    this.#writeAnew();
    const written = await this.#writes.flush(this.#redis, this.#incarnation);
    metrics.peerStoreWrites.inc(written);
    const due = this.#remote.due(clock.now(), LOOKS_AT_ONCE);
    await Promise.all(due.map(({ digest, known }) => this.#look(digest as Digest, known)));
  }

  /** A few blobs more, round and round: what Redis has of us never grows old, and what it lost is there again. */
  #writeAnew(): void {
    const { clock, core } = this.#deps;
    if (this.#anew === undefined && clock.now() < this.#anewAtMs) return;
    this.#anew ??= core.blobs();
    for (let step = 0; step < this.#anewStep; step++) {
      const next = this.#anew.next();
      if (next.done === true) {
        this.#anew = undefined;
        this.#anewStep = ANEW_SLOW;
        this.#anewAtMs = clock.now() + ANEW_EVERY_MS;
        return;
      }
      for (const { info } of core.sharers(next.value)) {
        if (this.#host.isConnected(info.id)) this.#writes.add(next.value, info.id);
      }
    }
  }

  async #look(digest: Digest, known: readonly string[]): Promise<void> {
    const args = [digest, SAMPLE, ...known];
    const [gone, pairs] = (await this.#redis.run('look', args)) as [string[], string[]];
    const sample: [string, string][] = [];
    for (let at = 0; at + 1 < pairs.length; at += 2) {
      const field = pairs[at] ?? '';
      if (!field.startsWith(`${this.#incarnation}/`)) sample.push([field, pairs[at + 1] ?? '']);
    }
    const news = this.#remote.take({ digest, gone, sample }, (incarnation) => this.#others.has(incarnation));
    if (news) this.#host.found(digest);
  }
}
