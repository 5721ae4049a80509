import type { Socket } from 'node:net';
import type { ReverseWay } from '../seams.ts';
import { memberOf } from './peer-member.ts';

/** The fastest node has fewer downloads under way in all. */
const MAX_AWAITED_PER_PEER = 64;

type Take = (socket: Socket) => void;

/** Connections that peers were asked to open to us, since we cannot dial them. */
export class AwaitedConnections {
  readonly #awaited = new Map<string, Set<Take>>();

  /**
   * @param take called at most once
   * @returns what ends the wait; undefined when as many are awaited from the peer as may be
   */
  expect({ peer }: ReverseWay, take: Take): (() => void) | undefined {
    const awaited = this.#awaited.get(peer) ?? new Set();
    if (awaited.size >= MAX_AWAITED_PER_PEER) return undefined;
    this.#awaited.set(peer, awaited);
    const entry: Take = (socket) => take(socket);
    awaited.add(entry);
    return () => {
      awaited.delete(entry);
      if (awaited.size === 0 && this.#awaited.get(peer) === awaited) this.#awaited.delete(peer);
    };
  }

  /** @returns what takes a connection of this peer, which has just come; undefined when it was not asked for one */
  find(socket: Socket, peer: string): Take | undefined {
    const shown = memberOf(socket);
    if (shown !== undefined && shown.id !== peer) return undefined;
    // It may have renewed its certificate since its link began: the connection ends with the one shown here.
    const [first] = this.#awaited.get(peer) ?? [];
    return first;
  }
}
