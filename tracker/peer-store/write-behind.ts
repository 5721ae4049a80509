import type { TrackerCore } from '../../lib/swarm/tracker-core.ts';
import type { OwnAddress } from './own-address.ts';
import type { RedisArgument, RedisConnection } from './redis-connection.ts';
import { encodeSharer } from './shared-peer.ts';

/** Places of nodes in swarms that wait to be written; more are not kept, and everything is written anew instead. */
const MOST_WAITING = 100_000;
/** Of them in one batch: a few milliseconds of this process. */
const MOST_A_BATCH = 2_000;
/** What nobody writes again for so long is of a tracker that is gone, milliseconds. */
const KEPT_MS = 2 * 60 * 60_000;

/** Who shares what, on its way to Redis: the newest word on each node and blob, in batches. */
export class WriteBehind {
  readonly #core: TrackerCore;
  readonly #prefix: string;
  readonly #own: OwnAddress;
  /** Blob -> nodes to write or, when they do not share it any more, to remove. */
  readonly #waiting = new Map<string, Set<string>>();
  #count = 0;
  #overflowed = false;

  constructor(core: TrackerCore, prefix: string, own: OwnAddress) {
    this.#core = core;
    this.#prefix = prefix;
    this.#own = own;
  }

  get waiting(): number {
    return this.#count;
  }

  /** Whether more came than is kept, since it was last asked. */
  takeOverflow(): boolean {
    const overflowed = this.#overflowed;
    this.#overflowed = false;
    return overflowed;
  }

  /** Something about the node and the blob has changed. */
  add(digest: string, id: string): void {
    let ids = this.#waiting.get(digest);
    if (ids?.has(id) === true) return;
    if (this.#count >= MOST_WAITING) {
      this.#overflowed = true;
      return;
    }
    if (ids === undefined) {
      ids = new Set();
      this.#waiting.set(digest, ids);
    }
    ids.add(id);
    this.#count++;
  }

  clear(): void {
    this.#waiting.clear();
    this.#count = 0;
  }

  /** Writes one batch as this tracker. @returns how many places that were */
  async flush(redis: RedisConnection, incarnation: string): Promise<number> {
    const commands: [string, ...RedisArgument[]][] = [];
    let count = 0;
    for (const [digest, ids] of this.#waiting) {
      this.#waiting.delete(digest);
      const key = `${this.#prefix}blob:${digest}`;
      const set: string[] = [];
      const gone: string[] = [];
      for (const id of ids) {
        const field = `${incarnation}/${id}`;
        const info = this.#core.member(id);
        const have = this.#core.haveOf(id, digest);
        if (info === undefined || have === undefined) gone.push(field);
        else set.push(field, encodeSharer(this.#own.forOthers(info), have));
      }
      if (gone.length > 0) commands.push(['hdel', key, ...gone]);
      if (set.length > 0) commands.push(['hset', key, ...set], ['pexpire', key, KEPT_MS]);
      count += ids.size;
      if (count >= MOST_A_BATCH) break;
    }
    this.#count -= count;
    if (commands.length > 0) await redis.send(commands);
    return count;
  }
}
