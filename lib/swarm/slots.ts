/** Small integers that name things: the lowest ones are used again after {@link release}. */
export class SlotList {
  readonly #free: number[] = [];
  #end = 0;

  /** One more than the largest number ever in use. */
  get end(): number {
    return this.#end;
  }

  take(): number {
    return this.#free.pop() ?? this.#end++;
  }

  release(slot: number): void {
    this.#free.push(slot);
  }
}

/** Takes the element out and keeps the order of the others; unlike `splice`, without a new array. */
export function removeAt(list: number[], at: number): void {
  for (let i = at + 1; i < list.length; i++) list[i - 1] = list[i]!;
  list.pop();
}

/** The longer copy `to` of a column of a struct of arrays. */
export function grown<T extends Uint8Array | Int32Array | Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}
