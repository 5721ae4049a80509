import type { WantedImage, Workload } from './workload.ts';

/** Workloads of one cluster that are kept in mind; some 300 bytes each. */
const MAX_WORKLOADS = 50_000;

/**
 * Which images the workloads of a Kubernetes cluster want, and which of them are new: those that no other workload
 * wants already. Pure.
 */
export class WantedImages {
  /** By the list that it came from, then by uid. */
  readonly #lists = new Map<string, Map<string, readonly string[]>>();
  /** Wish -> workloads that want it. */
  readonly #wanted = new Map<string, number>();
  #workloads = 0;

  /** More workloads than are kept in mind: those beyond are left out. */
  get isFull(): boolean {
    return this.#workloads >= MAX_WORKLOADS;
  }

  /** All of a list: what is not in it is gone. @returns what is new */
  listed(list: string, all: readonly Workload[]): readonly WantedImage[] {
    const before = new Set(this.#lists.get(list)?.keys());
    const fresh = all.flatMap((workload) => {
      before.delete(workload.uid);
      return this.changed(list, workload);
    });
    for (const uid of before) this.gone(list, uid);
    return fresh;
  }

  /** A workload is there, or is another one than before. @returns what is new */
  changed(list: string, { uid, wanted }: Workload): readonly WantedImage[] {
    let ofList = this.#lists.get(list);
    if (ofList === undefined) {
      ofList = new Map();
      this.#lists.set(list, ofList);
    }
    const before = ofList.get(uid);
    if (before === undefined && (wanted.length === 0 || this.isFull)) return [];
    const keys = wanted.map(keyOf);
    const fresh = wanted.filter((wish) => (this.#wanted.get(keyOf(wish)) ?? 0) === 0);
    for (const key of keys) this.#wanted.set(key, (this.#wanted.get(key) ?? 0) + 1);
    for (const key of before ?? []) this.#drop(key);
    if (keys.length > 0) ofList.set(uid, keys);
    else ofList.delete(uid);
    this.#workloads += (keys.length > 0 ? 1 : 0) - (before === undefined ? 0 : 1);
    return fresh;
  }

  gone(list: string, uid: string): void {
    const ofList = this.#lists.get(list);
    const before = ofList?.get(uid);
    if (before === undefined) return;
    ofList?.delete(uid);
    this.#workloads--;
    for (const key of before) this.#drop(key);
  }

  #drop(key: string): void {
    const left = (this.#wanted.get(key) ?? 1) - 1;
    if (left > 0) this.#wanted.set(key, left);
    else this.#wanted.delete(key);
  }
}

function keyOf({ image, nodes = '' }: WantedImage): string {
  return `${image} ${nodes}`;
}
