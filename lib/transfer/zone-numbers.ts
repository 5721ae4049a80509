/** Numbers zones for a core, which knows no names: ours is 0. */
export class ZoneNumbers {
  readonly #numbers = new Map<string, number>();

  numberOf(zone: string, own: string): number {
    if (this.#numbers.size === 0) this.#numbers.set(own, 0);
    const known = this.#numbers.get(zone);
    if (known !== undefined) return known;
    this.#numbers.set(zone, this.#numbers.size);
    return this.#numbers.size - 1;
  }
}
