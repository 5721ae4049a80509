import type { OriginClient } from '../origin/origin-client.ts';
import type { Limits } from './limits.ts';

/** The registries, read no faster than the node may read them, and no faster than it may receive at all. */
export function pacedOrigin(origin: OriginClient, limits: Limits): OriginClient {
  return {
    ...origin,
    async request(request, options) {
      const response = await origin.request(request, options);
      return { ...response, body: paced(response.body, limits, options.signal) };
    },
    async readBlob(read, options) {
      const body = await origin.readBlob(read, options);
      return { ...body, bytes: paced(body.bytes, limits, options.signal) };
    },
  };
}

/** Asks for the next chunk when the one before may have come: the registry then waits, as it would for a slow line. */
function paced(
  bytes: AsyncIterable<Uint8Array>,
  limits: Limits,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  return {
    // Not a generator: one that was never asked for a byte would not end the body under it.
    [Symbol.asyncIterator]() {
      const source = bytes[Symbol.asyncIterator]();
      let turns: readonly (Promise<void> | undefined)[] = [];
      return {
        async next() {
          try {
            for (const turn of turns) if (turn !== undefined) await turn;
          } catch (error) {
            await source.return?.();
            throw error;
          }
          const next = await source.next();
          if (next.done === true) return next;
          const { length } = next.value;
          turns = [limits.registry, limits.download].map((limit) => settled(limit.take(length, signal)));
          return next;
        },
        return: async () => (await source.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

/** Whoever leaves before the turn has come leaves no rejection behind. */
function settled(turn: Promise<void> | undefined): Promise<void> | undefined {
  turn?.catch(() => {});
  return turn;
}
