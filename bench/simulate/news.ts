/**
 * What nodes have got and not yet told their neighbours. A node collects for a while and then tells everything in one
 * message; a message on its way is a number, because events carry numbers.
 */
export class News {
  readonly #collected: number[][];
  readonly #messages: number[][] = [];
  readonly #free: number[] = [];

  constructor(nodes: number) {
    this.#collected = Array.from({ length: nodes }, () => []);
  }

  /** @returns whether this is the first piece since the last message: time to set one up */
  add(node: number, piece: number): boolean {
    return this.#collected[node]!.push(piece) === 1;
  }

  /** What the node has collected goes out. @returns the number of the message */
  send(node: number): number {
    const message = this.#free.pop() ?? this.#messages.length;
    this.#messages[message] = this.#collected[node]!;
    this.#collected[node] = [];
    return message;
  }

  /** The pieces that the message tells of; its number is free again. */
  take(message: number): readonly number[] {
    this.#free.push(message);
    return this.#messages[message]!;
  }
}
