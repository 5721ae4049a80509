/**
 * What nodes have got and not yet told their neighbours. A node collects for a while and then tells everything in one
 * message; a message on its way is a number, because events carry numbers. Lists are used again and again.
 */
export class News {
  readonly #collected: (number[] | undefined)[];
  readonly #messages: number[][] = [];
  readonly #free: number[] = [];

  constructor(nodes: number) {
    this.#collected = Array.from({ length: nodes }, () => undefined);
  }

  /** @returns whether this is the first piece since the last message: time to set one up */
  add(node: number, piece: number): boolean {
    const known = this.#collected[node];
    if (known !== undefined) {
      known.push(piece);
      return false;
    }
    const message = this.#free.pop() ?? this.#messages.push([]) - 1;
    const list = this.#messages[message]!;
    list.length = 0;
    list.push(message, piece);
    this.#collected[node] = list;
    return true;
  }

  /** What the node has collected goes out. @returns the number of the message */
  send(node: number): number {
    const message = this.#collected[node]![0]!;
    this.#collected[node] = undefined;
    return message;
  }

  /** The pieces that the message tells of, from index 1 on. */
  read(message: number): readonly number[] {
    return this.#messages[message]!;
  }

  /** Everybody has heard it: its number and its list are free again. */
  forget(message: number): void {
    this.#free.push(message);
  }
}
