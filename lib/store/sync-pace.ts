/** A power cut takes no more than this of a blob and what is being synced. */
const SYNC_BYTES = 64 * 1024 * 1024;

/** Syncs what is written of a blob while more of it comes: every 64 MiB, and only who is as far ahead again waits for it. */
export class SyncPace {
  readonly #sync: () => Promise<void>;
  #unsyncedBytes = 0;
  #syncing: Promise<void> | undefined;

  /** @param sync never rejects */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  get underWay(): Promise<void> | undefined {
    return this.#syncing;
  }

  async wrote(bytes: number): Promise<void> {
    this.#unsyncedBytes += bytes;
    if (this.#unsyncedBytes < SYNC_BYTES) return;
    if (this.#syncing !== undefined) return this.#syncing;
    this.#unsyncedBytes = 0;
    this.#syncing = this.#sync().finally(() => {
      this.#syncing = undefined;
    });
  }
}
