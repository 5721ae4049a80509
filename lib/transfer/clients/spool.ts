import { join } from 'node:path';
import type { ByteRange } from '../../core/range.ts';
import { type Rng, randomHex } from '../../runtime/rng.ts';
import type { Disk } from '../../store/disk/disk.ts';
import { storeError } from '../../store/store-error.ts';
import type { BufferPool } from '../buffer-pool.ts';

const CHUNK_BYTES = 1024 * 1024;

export interface SpoolDeps {
  readonly disk: Disk;
  readonly rng: Rng;
}

/** Files in which bytes wait that nobody may see yet, one for each read; they are gone with their reader. */
export class Spool {
  readonly #deps: SpoolDeps;
  readonly #folder: string;

  constructor(deps: SpoolDeps, folder: string) {
    this.#deps = deps;
    this.#folder = folder;
  }

  /** Makes the folder, without what an earlier process left in it. Before any read. @throws STORE_* */
  async clear(): Promise<void> {
    const { disk } = this.#deps;
    try {
      await disk.makeFolder(this.#folder);
      for (const name of await disk.list(this.#folder)) await disk.remove(join(this.#folder, name));
    } catch (error) {
      throw storeError(error, `open the folder ${this.#folder}`);
    }
  }

  /**
   * Takes all bytes, and then hands out those of the range.
   * @throws what `bytes` throws, with nothing handed out before; STORE_*
   */
  async *after(
    bytes: AsyncIterable<Uint8Array>,
    range: ByteRange,
    pool: BufferPool,
  ): AsyncGenerator<Uint8Array> {
    const { disk, rng } = this.#deps;
    const path = join(this.#folder, randomHex(rng, 8));
    const step = async <T>(work: Promise<T>): Promise<T> =>
      await work.catch((error: unknown) => {
        throw storeError(error, 'keep a blob until all of it is verified');
      });
    const file = await step(disk.open(path));
    const buffer = pool.lend(Math.min(CHUNK_BYTES, range.end - range.start));
    try {
      let size = 0;
      for await (const chunk of bytes) {
        await step(file.write(chunk, size));
        size += chunk.length;
      }
      for (let at = range.start; at < range.end; ) {
        const chunk = buffer.bytes.subarray(0, range.end - at);
        const read = await step(file.read(chunk, at));
        if (read === 0) return;
        at += read;
        yield chunk.subarray(0, read);
      }
    } finally {
      buffer.release();
      await file.close().catch(() => {});
      await disk.remove(path).catch(() => {});
    }
  }
}
