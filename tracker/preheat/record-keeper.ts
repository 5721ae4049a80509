import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import type { KeyValue, KeyValueOperation } from '../../lib/store/key-value/key-value.ts';
import { createSerial } from '../../lib/store/serial.ts';

/** After a failure it is tried again so long after, then after twice that, and so on. */
const FIRST_RETRY_MS = 1_000;
const MOST_RETRY_MS = 60_000;

export interface RecordKeeperDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly records: KeyValue;
}

export interface RecordKeeperOptions<T> {
  /** For people: `job`. */
  readonly what: string;
  readonly keyOf: (id: number) => string;
  readonly encode: (item: T) => Uint8Array;
}

/** Keeps the records of jobs or plans up to date. A disk that takes nothing is told once, and tried again ever more rarely. */
export class RecordKeeper<T> {
  readonly #deps: RecordKeeperDeps;
  readonly #options: RecordKeeperOptions<T>;
  readonly #inTurn = createSerial();
  /** Not up to date; undefined: no longer wanted. */
  readonly #unsaved = new Map<number, T | undefined>();
  /** Written since the last time that all was on stable storage. */
  readonly #unsynced = new Map<number, T | undefined>();
  #retryMs = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(deps: RecordKeeperDeps, options: RecordKeeperOptions<T>) {
    this.#deps = deps;
    this.#options = options;
  }

  /** @param item undefined: it is forgotten */
  note(id: number, item: T | undefined): void {
    this.#unsaved.set(id, item);
  }

  /** Writes what is not written, so that it outlives the process. @throws STORE_FAILED; it is tried again as time passes */
  async save(): Promise<void> {
    await this.#write(true);
  }

  /** Time passes: writes what is not written, unless that has failed just now. Never rejects. */
  async tick({ sync }: { readonly sync: boolean }): Promise<void> {
    if (this.#deps.clock.now() < this.#notBeforeMs) return;
    // It is told, or was.
    await this.#write(sync).catch(() => {});
  }

  #write(sync: boolean): Promise<void> {
    const { clock, log, records } = this.#deps;
    const { encode, keyOf, what } = this.#options;
    return this.#inTurn(async () => {
      // What was written without waiting for the disk is written again: an empty batch would sync nothing.
      const behind = sync ? [...this.#unsynced].filter(([id]) => !this.#unsaved.has(id)) : [];
      const taken = [...behind, ...this.#unsaved];
      if (taken.length === 0) return;
      this.#unsaved.clear();
      const operations = taken.map(([id, item]): KeyValueOperation => {
        const key = keyOf(id);
        return item === undefined ? { type: 'del', key } : { type: 'put', key, value: encode(item) };
      });
      try {
        await records.batch(operations, { sync });
      } catch (error) {
        for (const [id, item] of taken) if (!this.#unsaved.has(id)) this.#unsaved.set(id, item);
        if (this.#retryMs === 0) {
          log.error({ problem: describeError(error) }, `preheat ${what}s cannot be written`);
        }
        this.#retryMs = Math.min(MOST_RETRY_MS, Math.max(FIRST_RETRY_MS, this.#retryMs * 2));
        this.#notBeforeMs = clock.now() + this.#retryMs;
        throw new DamselflyError('STORE_FAILED', `the tracker cannot keep the ${what}`, {}, { cause: error });
      }
      if (sync) this.#unsynced.clear();
      else for (const [id, item] of taken) this.#unsynced.set(id, item);
      if (this.#retryMs > 0) log.info(`preheat ${what}s are written again`);
      this.#retryMs = 0;
      this.#notBeforeMs = Number.NEGATIVE_INFINITY;
    });
  }
}
