import type { ClusterSettings } from '../../lib/core/cluster-settings.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { describeError } from '../../lib/core/errors.ts';
import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Clock, every } from '../../lib/runtime/clock.ts';
import { type Rng, randomHex } from '../../lib/runtime/rng.ts';
import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import { MAX_PEERS_PER_MESSAGE } from '../../lib/wire/control-messages.ts';
import type { TrackerMetrics } from '../metrics.ts';
import { beat } from './beat.ts';
import { OwnAddress } from './own-address.ts';
import type { PeerStore, PeerStoreHost } from './peer-store.ts';
import { connectRedis, type RedisConnection } from './redis-connection.ts';
import { RedisLeases } from './redis-leases.ts';
import { RedisSweep } from './redis-sweep.ts';
import { RemoteSharers } from './remote-sharers.ts';
import { RemoteSupernodes } from './remote-supernodes.ts';
import { SharedLeases } from './shared-leases.ts';
import type { TrackerReport } from './shared-peer.ts';
import { SharedSettings } from './shared-settings.ts';
import { WriteAnew } from './write-anew.ts';
import { WriteBehind } from './write-behind.ts';

const PREFIX = 'damselfly:';
/** Batches of what members told go out, and blobs are looked up, this often. */
const FLUSH_MS = 50;
/** Trackers tell one another that they live, and which supernodes are theirs. */
const BEAT_MS = 1_000;
/** What other trackers told is still believed for so long after Redis has gone. */
const BELIEVED_MS = 60_000;
/** Blobs looked up in one go, and nodes asked for of each. */
const LOOKS_AT_ONCE = 200;
const SAMPLE = 64;

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
  #anew!: WriteAnew;
  #redis!: RedisConnection;
  #leases!: SharedLeases;
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
  readonly #settings = new SharedSettings(`${PREFIX}settings`);
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
    const { clock, core } = this.#deps;
    this.#leases = new SharedLeases({
      core,
      clock,
      redis: new RedisLeases(redis, this.#address),
      attempt: (act) => this.#try(act),
      nodes: () => this.#nodes,
    });
    this.#sweep = new RedisSweep(redis);
  }

  start(host: PeerStoreHost): void {
    const { clock, core } = this.#deps;
    this.#host = host;
    const isConnected = (id: string): boolean => host.isConnected(id);
    this.#remote = new RemoteSharers(core, isConnected);
    this.#supernodes = new RemoteSupernodes(core, isConnected);
    this.#anew = new WriteAnew(core, this.#writes, isConnected);
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
    for (const digest of digests) this.#leases.giveUp(id, digest);
  }

  left(id: string): void {
    this.#leases.giveUp(id);
  }

  lease(id: string, wish: LeaseWish): Promise<LeaseAnswer> {
    return this.#leases.ask(id, wish);
  }

  renewLease(id: string, token: number): Promise<LeaseAnswer> {
    return this.#leases.renew(id, token);
  }

  releaseLease(id: string, token: number, read: boolean): void {
    this.#leases.release(id, token, read);
  }

  tellSettings(settings: ClusterSettings): void {
    this.#settings.tell(settings);
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
    const { isNew, others, settings } = await beat(this.#redis, this.#incarnation, this.#own());
    if (this.#closed) return;
    // The others took this one for gone (it stood still, or the clock of Redis jumped), and sweep away what it wrote.
    if (isNew && !anew) this.#startOver = true;
    const changedMeanwhile = core.epoch !== epoch;
    this.#heardOf(others);
    this.#toldEpoch = changedMeanwhile ? epoch : core.epoch;
    this.#remote.sweep();
    metrics.remoteNodes.set(this.#remote.nodes);
    await this.#settings.agree(settings, this.#redis, this.#host);
    if (this.#problem !== undefined) await this.#comeBack();
    // One of the trackers does it for all.
    if ([...others.keys()].every((other) => this.#incarnation < other)) this.#sweep.stepSoon();
    if (anew) this.#anew.startOver();
  }

  /** Redis answers. */
  async #comeBack(): Promise<void> {
    const { log, metrics } = this.#deps;
    await this.#leases.restore();
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
    this.#anew.step(clock.now());
    const written = await this.#writes.flush(this.#redis, this.#incarnation);
    metrics.peerStoreWrites.inc(written);
    const due = this.#remote.due(clock.now(), LOOKS_AT_ONCE);
    await Promise.all(due.map(({ digest, known }) => this.#look(digest as Digest, known)));
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
