import type { Rng } from '../../../lib/runtime/rng.ts';

/** Knows who has which layer completely. */
export class HolderDirectory {
  /** Layer -> nodes. */
  readonly #holders: number[][];
  /** Node -> whom it does not ask any more. */
  readonly #banned = new Map<number, Set<number>>();

  constructor(layers: number) {
    this.#holders = Array.from({ length: layers }, () => []);
  }

  knows(layer: number): boolean {
    return this.#holders[layer]!.length > 0;
  }

  add(node: number, layer: number): void {
    this.#holders[layer]!.push(node);
  }

  /** A random holder whom the node has not banned. */
  pick(node: number, layer: number, rng: Rng): number | undefined {
    const banned = this.#banned.get(node);
    const holders = this.#holders[layer]!;
    const fit = banned === undefined ? holders : holders.filter((holder) => !banned.has(holder));
    return fit[rng.int(fit.length)];
  }

  /** @returns whether the node had not banned it before */
  ban(node: number, holder: number): boolean {
    let banned = this.#banned.get(node);
    if (banned === undefined) {
      banned = new Set();
      this.#banned.set(node, banned);
    }
    const isNew = !banned.has(holder);
    banned.add(holder);
    return isNew;
  }

  forget(isGone: (node: number) => boolean): void {
    for (const [layer, holders] of this.#holders.entries()) {
      this.#holders[layer] = holders.filter((holder) => !isGone(holder));
    }
  }
}
