import type { RedisConnection } from './redis-connection.ts';

/** Blobs looked at in one step, and of each so many nodes: a step is a few milliseconds of Redis. */
const BLOBS_A_STEP = 20;
const FIELDS_AT_ONCE = 500;

/**
 * Removes what trackers that are long gone have left at blobs that nobody looks at: goes round and round through the
 * blobs in Redis, a few in each step.
 */
export class RedisSweep {
  readonly #redis: RedisConnection;
  #cursor = '0';
  #blobs: string[] = [];
  /** Where to go on in the first of them. */
  #field = '0';
  #stepping = false;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  /** Takes a step, unless one is under way: nobody waits for it. What it cannot look at has its turn in the next round. */
  stepSoon(): void {
    if (this.#stepping) return;
    this.#stepping = true;
    void this.#step()
      .catch(() => {
        this.#blobs.shift();
        this.#field = '0';
      })
      .finally(() => {
        this.#stepping = false;
      });
  }

  async #step(): Promise<void> {
    for (let looks = 0; looks < BLOBS_A_STEP; looks++) {
      if (this.#blobs.length === 0) {
        const found = await this.#redis.run('blobs', [this.#cursor, BLOBS_A_STEP]);
        [this.#cursor, this.#blobs] = found as [string, string[]];
        // Once around, or nothing in this part of the keys: the next step goes on.
        if (this.#blobs.length === 0) return;
      }
      const args = [this.#blobs[0] ?? '', this.#field, FIELDS_AT_ONCE];
      this.#field = String(await this.#redis.run('sweep', args));
      if (this.#field === '0') this.#blobs.shift();
    }
  }
}
