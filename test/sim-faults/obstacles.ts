/** Faults that may overlap: what each blocks is free again when none of them does any more. */
export class Obstacles {
  readonly #count = new Map<string, number>();
  readonly #begin: (key: string) => void;
  readonly #end: (key: string) => void;

  constructor(begin: (key: string) => void = () => {}, end: (key: string) => void = () => {}) {
    this.#begin = begin;
    this.#end = end;
  }

  add(key: string): void {
    const count = (this.#count.get(key) ?? 0) + 1;
    this.#count.set(key, count);
    if (count === 1) this.#begin(key);
  }

  remove(key: string): void {
    const count = (this.#count.get(key) ?? 0) - 1;
    this.#count.set(key, count);
    if (count === 0) this.#end(key);
  }

  has(key: string): boolean {
    return (this.#count.get(key) ?? 0) > 0;
  }
}
