/** Ends of flows, the smallest first: a binary heap. */
export class EndQueue {
  readonly #ends: { readonly at: number; readonly flow: number; readonly stamp: number }[] = [];

  get size(): number {
    return this.#ends.length;
  }

  /** Of the smallest end; only when there is one. */
  get flow(): number {
    return this.#ends[0]!.flow;
  }

  get stamp(): number {
    return this.#ends[0]!.stamp;
  }

  push(at: number, flow: number, stamp: number): void {
    const ends = this.#ends;
    let hole = ends.length;
    ends.push({ at, flow, stamp });
    const pushed = ends[hole]!;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (ends[parent]!.at <= at) break;
      ends[hole] = ends[parent]!;
      hole = parent;
    }
    ends[hole] = pushed;
  }

  pop(): void {
    const ends = this.#ends;
    const last = ends.pop()!;
    if (ends.length === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= ends.length) break;
      if (child + 1 < ends.length && ends[child + 1]!.at < ends[child]!.at) child++;
      if (ends[child]!.at >= last.at) break;
      ends[hole] = ends[child]!;
      hole = child;
    }
    ends[hole] = last;
  }
}
