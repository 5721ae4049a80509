import type { KeyValue, KeyValueOperation } from './key-value.ts';

/** Records in memory that a crash can take away. Every promise settles by microtasks alone. */
export interface MemoryKeyValue extends KeyValue {
  /** From now on every batch fails with this errno name; undefined: works again. */
  failBatches(code: string | undefined): void;
  /**
   * The records as found after a crash at this moment: all that was synced, and the first `kept` of the batches after
   * that. None when the power went and nothing had reached the disk; all of them when only the process was killed.
   */
  crash(kept: number): MemoryKeyValue;
}

export function createMemoryKeyValue(initial: ReadonlyMap<string, Uint8Array> = new Map()): MemoryKeyValue {
  const durable = new Map(initial);
  const current = new Map(initial);
  let unsynced: (readonly KeyValueOperation[])[] = [];
  let failure: string | undefined;
  let open = true;
  const use = (): void => {
    if (!open) throw new Error('the records are closed');
  };
  return {
    async get(key) {
      use();
      return current.get(key)?.slice();
    },
    async batch(operations, options) {
      use();
      if (failure !== undefined) throw Object.assign(new Error(`${failure}: batch`), { code: failure });
      const copy = operations.map((each) =>
        each.type === 'put' ? { ...each, value: each.value.slice() } : each,
      );
      apply(current, copy);
      unsynced.push(copy);
      if (options?.sync !== true) return;
      for (const batch of unsynced) apply(durable, batch);
      unsynced = [];
    },
    async *entries(prefix) {
      use();
      const keys = [...current.keys()].filter((key) => key.startsWith(prefix)).sort();
      for (const key of keys) {
        const value = current.get(key);
        if (value !== undefined) yield [key, value.slice()];
      }
    },
    async close() {
      open = false;
    },
    failBatches(code) {
      failure = code;
    },
    crash(kept) {
      const found = new Map(durable);
      for (const batch of unsynced.slice(0, kept)) apply(found, batch);
      return createMemoryKeyValue(found);
    },
  };
}

function apply(records: Map<string, Uint8Array>, operations: readonly KeyValueOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') records.set(operation.key, operation.value);
    else records.delete(operation.key);
  }
}
