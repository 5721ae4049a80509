/** Messages that one node may have unread. */
const ROOM = 32;
const FIELDS = 2;

/**
 * News for nodes that have no free download slot, from neighbours without a free upload slot before and after: it changes
 * nothing for them until something else happens to them, so it is kept until then. One look at a flat array for each message instead of a walk through a node's memory.
 */
export class Inbox {
  readonly #messages: Int32Array;
  readonly #unread: Uint8Array;

  constructor(nodes: number) {
    this.#messages = new Int32Array(nodes * ROOM * FIELDS);
    this.#unread = new Uint8Array(nodes);
  }

  /** @returns whether the inbox is now full: time to read it */
  add(node: number, link: number, piece: number): boolean {
    const unread = this.#unread[node]!;
    const at = (node * ROOM + unread) * FIELDS;
    this.#messages[at] = link;
    this.#messages[at + 1] = piece;
    this.#unread[node] = unread + 1;
    return unread + 1 === ROOM;
  }

  /** @returns how many messages there are; each is read by `link` and `piece`, and all are read then */
  take(node: number): number {
    const unread = this.#unread[node]!;
    this.#unread[node] = 0;
    return unread;
  }

  link(node: number, index: number): number {
    return this.#messages[(node * ROOM + index) * FIELDS]!;
  }

  piece(node: number, index: number): number {
    return this.#messages[(node * ROOM + index) * FIELDS + 1]!;
  }
}
