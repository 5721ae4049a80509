import { abortedError, DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ReverseWay } from '../seams.ts';

/** As over TCP. */
const REVERSE_TIMEOUT_MS = 4000;

/** Connections that a host waits for or has, from peers that cannot be dialled, by their ids. */
export class MemoryReversals {
  readonly #clock: Clock;
  readonly #awaited = new Map<string, Set<() => void>>();
  readonly #open = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the peer has connected, which it is asked for. @throws PEER_UNREACHABLE, ABORTED */
  async wait({ ask, peer }: ReverseWay, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortedError(signal);
    if (this.#open.has(peer)) return;
    const awaited = this.#awaited.get(peer) ?? new Set();
    this.#awaited.set(peer, awaited);
    const { promise, reject, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(REVERSE_TIMEOUT_MS, () =>
      reject(new DamselflyError('PEER_UNREACHABLE', 'the peer does not connect to us')),
    );
    const onAbort = (): void => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    awaited.add(resolve);
    try {
      ask();
      await promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
      awaited.delete(resolve);
    }
  }

  /** A connection of the peer has come. @returns whether somebody waits for it */
  take(peer: string): boolean {
    const awaited = this.#awaited.get(peer) ?? new Set();
    if (awaited.size === 0) return false;
    this.#open.add(peer);
    for (const resolve of awaited) resolve();
    return true;
  }
}
