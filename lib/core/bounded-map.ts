/** A map of at most so many entries: the one set longest ago goes first. */
export class BoundedMap<T> {
  readonly #max: number;
  readonly #entries = new Map<string, T>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= this.#max && oldest.done !== true) this.#entries.delete(oldest.value);
    this.#entries.set(key, value);
  }

  /** From the one set longest ago. */
  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  /** From the one set longest ago. */
  values(): IterableIterator<T> {
    return this.#entries.values();
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
