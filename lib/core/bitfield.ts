/** A set of piece indexes, 32 a word. Flat and allocation-free, so that thousands fit in one process. */
export class Bitfield {
  readonly length: number;
  readonly words: Uint32Array;
  #count = 0;

  /** @param words may be a view into shared memory; its set bits are counted once here. */
  constructor(length: number, words: Uint32Array = new Uint32Array((length + 31) >>> 5)) {
    this.length = length;
    this.words = words;
    for (let index = 0; index < length; index++) if (this.has(index)) this.#count++;
  }

  get count(): number {
    return this.#count;
  }

  get complete(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    return ((this.words[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0;
  }

  /** @returns whether the bit was clear before */
  set(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false;
    this.words[index >>> 5] = (this.words[index >>> 5] ?? 0) | (1 << (index & 31));
    this.#count++;
    return true;
  }

  /** @returns whether the bit was set before */
  clear(index: number): boolean {
    if (index < 0 || index >= this.length || !this.has(index)) return false;
    this.words[index >>> 5] = (this.words[index >>> 5] ?? 0) & ~(1 << (index & 31));
    this.#count--;
    return true;
  }

  setAll(): void {
    for (let index = 0; index < this.length; index++) this.set(index);
  }
}
