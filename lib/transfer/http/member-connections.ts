import type { Socket } from 'node:net';

/** Room for the downloads of the fastest node, a link and questions, however few connections there may be. */
const LEAST_PER_MEMBER = 16;
/** So much of all connections may be in the hands of one member: nobody is kept out by one that is out of order. */
const SHARE = 1 / 4;

/** Counts the connections that each member of the cluster holds to a port. */
export class MemberConnections {
  readonly #most: () => number;
  readonly #open = new Map<string, number>();

  /** @param most connections of everybody; may change */
  constructor(most: () => number) {
    this.#most = most;
  }

  /** Whether a member may have this one too; it counts until it is closed. */
  admits(socket: Socket, member: string): boolean {
    const open = this.#open.get(member) ?? 0;
    if (open >= Math.max(LEAST_PER_MEMBER, this.#most() * SHARE)) return false;
    this.#open.set(member, open + 1);
    socket.once('close', () => {
      const left = (this.#open.get(member) ?? 1) - 1;
      if (left > 0) this.#open.set(member, left);
      else this.#open.delete(member);
    });
    return true;
  }
}
