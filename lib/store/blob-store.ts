import { Bitfield } from '../core/bitfield.ts';
import type { Digest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { BlobInfo } from '../core/geometry.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { BlobState, type BlobStateDeps } from './blob-state.ts';
import type { Disk } from './disk/disk.ts';
import { chooseVictims } from './eviction.ts';
import type { KeyValue } from './key-value/key-value.ts';
import { createRecordWriter } from './record-writer.ts';
import { recover } from './recover.ts';
import { createSerial, type Serial } from './serial.ts';
import type { BlobStore, BlobSummary, StoredBlob } from './store.ts';
import { storeError } from './store-error.ts';

export interface BlobStoreDeps {
  readonly disk: Disk;
  /** Stays open when the store closes. */
  readonly keyValue: KeyValue;
  readonly log: Logger;
  readonly clock: Clock;
  /** Milliseconds since the epoch, for the time of last use. */
  readonly wallClockMs: () => number;
  /** Owned by this store alone; created when absent. */
  readonly folder: string;
}

export interface BlobStoreOptions {
  /**
   * Room for all blobs, each counted with its whole size from the start. A new blob makes room by removing blobs that
   * nobody has open. Default: as much as the disk holds.
   */
  readonly maxBytes?: number;
}

/**
 * Opens the store in a folder and brings it in order after whatever ended its last use.
 * @throws STORE_FULL, STORE_FAILED
 */
export async function openBlobStore(deps: BlobStoreDeps, options: BlobStoreOptions = {}): Promise<BlobStore> {
  try {
    const { disk, keyValue, log, folder } = deps;
    const stateDeps = { disk, keyValue, log, folder, records: createRecordWriter(deps) };
    const states = (await recover(deps)).map((record) => new BlobState(stateDeps, record, false));
    return new FolderBlobStore(deps, stateDeps, options.maxBytes ?? Number.POSITIVE_INFINITY, states);
  } catch (error) {
    throw storeError(error, 'open the store', { folder: deps.folder });
  }
}

class FolderBlobStore implements BlobStore {
  readonly #wallClockMs: () => number;
  readonly #stateDeps: BlobStateDeps;
  readonly #maxBytes: number;
  readonly #states: Map<Digest, BlobState>;
  /** New blobs are admitted one by one, so that two never take the same room. */
  readonly #admission: Serial = createSerial();
  #closing: Promise<void> | undefined;

  constructor(deps: BlobStoreDeps, stateDeps: BlobStateDeps, maxBytes: number, states: BlobState[]) {
    this.#wallClockMs = deps.wallClockMs;
    this.#stateDeps = stateDeps;
    this.#maxBytes = maxBytes;
    this.#states = new Map(states.map((state) => [state.info.digest, state]));
  }

  async open(digest: Digest): Promise<StoredBlob | undefined> {
    this.#checkOpen();
    const state = this.#states.get(digest);
    if (state === undefined || state.removal !== undefined || !(await this.#acquire(state))) return undefined;
    if (state.openers === 1 && state.have.count === 0 && !state.complete) {
      await this.#release(state);
      return undefined;
    }
    return this.#handle(state);
  }

  async create(info: BlobInfo): Promise<StoredBlob> {
    for (;;) {
      this.#checkOpen();
      const state = this.#states.get(info.digest) ?? (await this.#admission(() => this.#admit(info)));
      if (state.removal !== undefined && !state.dropping) {
        // Wanted again before it has gone: it stays.
        state.removal.resolve();
        state.removal = undefined;
      }
      if (!(await this.#acquire(state))) continue;
      const sameSize = state.info.size === info.size;
      if (sameSize && state.info.pieceBytes === info.pieceBytes) return this.#handle(state);
      // A complete blob is as long as it is: whoever asks for another size is wrong.
      const replaceable = state.openers === 1 && (sameSize || !state.complete);
      await this.#release(state);
      if (!replaceable) {
        const facts = { digest: info.digest, size: state.info.size, pieceBytes: state.info.pieceBytes };
        throw new DamselflyError('STORE_FAILED', 'the blob is here with another size or piece size', facts);
      }
      await this.#remove(state);
    }
  }

  async remove(digest: Digest): Promise<boolean> {
    this.#checkOpen();
    const state = this.#states.get(digest);
    if (state === undefined) return false;
    await this.#remove(state);
    return true;
  }

  list(): readonly BlobSummary[] {
    return [...this.#states.values()]
      .filter((state) => state.removal === undefined)
      .map(({ info, bytes, complete, usedAtMs }) => ({ info, bytes, complete, usedAtMs }));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#admission(async () => {});
    await Promise.all(
      [...this.#states.values()].map((state) => {
        state.openers = 0;
        return this.#idle(state);
      }),
    );
    await this.#stateDeps.records.close().catch((error: unknown) => {
      throw storeError(error, 'record the last pieces');
    });
  }

  /** @returns false when the blob went away meanwhile */
  async #acquire(state: BlobState): Promise<boolean> {
    state.openers++;
    try {
      await state.ready();
      this.#checkOpen();
    } catch (error) {
      await this.#release(state);
      throw error;
    }
    if (state.dropped) this.#forget(state);
    return !state.dropped;
  }

  async #release(state: BlobState): Promise<void> {
    // Closing the store has already counted everyone out.
    if (state.openers > 0) state.openers--;
    if (state.openers === 0) await this.#idle(state);
  }

  async #idle(state: BlobState): Promise<void> {
    await state.idle();
    if (state.dropped) this.#forget(state);
  }

  #forget(state: BlobState): void {
    if (this.#states.get(state.info.digest) === state) this.#states.delete(state.info.digest);
  }

  async #remove(state: BlobState): Promise<void> {
    if (state.dropped) return;
    state.removal ??= Promise.withResolvers<void>();
    const { promise } = state.removal;
    if (state.openers === 0) void this.#idle(state);
    await promise;
    if (state.dropped) this.#forget(state);
  }

  async #admit(info: BlobInfo): Promise<BlobState> {
    const known = this.#states.get(info.digest);
    if (known !== undefined) return known;
    await this.#makeRoom(info);
    this.#checkOpen();
    const record = {
      info,
      complete: false,
      usedAtMs: this.#wallClockMs(),
      have: new Bitfield(info.pieces),
      synced: false,
    };
    const state = new BlobState(this.#stateDeps, record, true);
    this.#states.set(info.digest, state);
    return state;
  }

  async #makeRoom(info: BlobInfo): Promise<void> {
    for (;;) {
      const states = [...this.#states.values()];
      const usedBytes = states.reduce((sum, state) => sum + state.info.size, 0);
      const neededBytes = usedBytes + info.size - this.#maxBytes;
      if (neededBytes <= 0) return;
      if (info.size > this.#maxBytes) throw this.#full('the blob is larger than the quota', info);
      const unused = states.filter((state) => state.openers === 0);
      const victims = chooseVictims(unused, neededBytes);
      if (victims === undefined) throw this.#full('blobs in use take up the quota', info);
      for (const victim of victims) {
        // Somebody may have opened it since: waiting for that would hold up every new blob.
        if (victim.openers > 0) break;
        this.#stateDeps.log.info({ digest: victim.info.digest, size: victim.info.size }, 'evicted a blob');
        await this.#remove(victim);
      }
    }
  }

  #full(message: string, { digest, size }: BlobInfo): DamselflyError {
    return new DamselflyError('STORE_FULL', message, { digest, size, maxBytes: this.#maxBytes });
  }

  /** One opener's view of the blob. */
  #handle(state: BlobState): StoredBlob {
    let closed: Promise<void> | undefined;
    const checkOpen = (): void => {
      if (closed !== undefined) throw new DamselflyError('STORE_FAILED', 'the blob is closed');
    };
    state.usedAtMs = this.#wallClockMs();
    this.#stateDeps.records.changed(state, 0);
    return {
      info: state.info,
      have: state.have,
      get complete() {
        return state.complete;
      },
      proof: (index) => state.proof(index),
      async write(proof, bytes) {
        checkOpen();
        await state.write(proof, bytes);
      },
      async read(offset, into) {
        checkOpen();
        await state.read(offset, into);
      },
      async commit() {
        checkOpen();
        await state.commit();
      },
      async reset() {
        checkOpen();
        await state.reset();
      },
      close: () => {
        closed ??= this.#release(state);
        return closed;
      },
    };
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new DamselflyError('STORE_FAILED', 'the store is closed');
  }
}
