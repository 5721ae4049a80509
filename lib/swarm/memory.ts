/** A range of zeros: from `at` on in the array. */
interface Range<T> {
  readonly array: T;
  readonly at: number;
}

/** So that ranges begin where cache lines of 64 bytes do, as far as the array itself does. */
const ALIGNMENT = 16;

class Slabs<T extends { readonly length: number }> {
  readonly #create: (length: number) => T;
  readonly #length: number;
  #slab: T | undefined;
  #used = 0;

  constructor(create: (length: number) => T, length: number) {
    this.#create = create;
    this.#length = length;
  }

  take(length: number): Range<T> {
    if (length > this.#length) return { array: this.#create(length), at: 0 };
    if (this.#slab === undefined || this.#used + length > this.#slab.length) {
      this.#slab = this.#create(this.#length);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used = Math.ceil((at + length) / ALIGNMENT) * ALIGNMENT;
    return { array: this.#slab, at };
  }
}

/**
 * Where cores keep their numbers. Thousands of cores in one process better share one: every array of its own would be
 * one more thing to find in memory at each event. Ranges in slabs are never given back, those of their own are.
 */
export class Memory {
  readonly words: Slabs<Int32Array>;
  readonly numbers: Slabs<Float64Array>;

  /** @param slabLength elements of one slab; 0 = each range is an array of its own */
  constructor(slabLength = 0) {
    this.words = new Slabs((length) => new Int32Array(length), slabLength);
    this.numbers = new Slabs((length) => new Float64Array(length), slabLength);
  }
}
