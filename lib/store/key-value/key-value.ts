/** Small ordered records; `level` on a machine, a map in tests that can lose what was not synced. */
export interface KeyValue {
  get(key: string): Promise<Uint8Array | undefined>;
  /** All or nothing. `sync`: on stable storage when the promise resolves. */
  batch(operations: readonly KeyValueOperation[], options?: { readonly sync?: boolean }): Promise<void>;
  /** Entries whose key starts with `prefix`, in key order. */
  entries(prefix: string): AsyncIterable<[key: string, value: Uint8Array]>;
  close(): Promise<void>;
}

export type KeyValueOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string };
