import { abortedError, DamselflyError, hasCode } from '../../core/errors.ts';
import { withAbort } from '../../core/single-flight.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Address, PieceTransport, ReverseWay } from '../seams.ts';
import type { Connect } from './connect.ts';
import type { OpenConnection } from './open-connection.ts';
import { PieceConnection } from './piece-connection.ts';
import { formatPieceRequest } from './piece-request.ts';

/** Downloads in flight per node are about four, so more idle connections to one peer would never be used. */
const MAX_IDLE_PER_PEER = 4;
/** Half of what our server allows, so that the client closes first and rarely meets a connection just closed. */
const IDLE_TIMEOUT_MS = 30_000;

interface Idle {
  readonly connection: PieceConnection;
  cancelTimer(): void;
}

/**
 * Piece transport over HTTP/1.1 with keep-alive: a connection carries one request at a time, up to four idle ones are
 * kept for each peer. A request that meets a connection the peer has just closed is sent once more on a new one. A
 * peer that cannot be dialled is asked to connect to us, where there is a way to ask it.
 */
export function createConnectionPool(deps: {
  readonly clock: Clock;
  readonly connect: Connect;
  readonly open: OpenConnection;
}): PieceTransport {
  const idle = new Map<string, Idle[]>();
  const busy = new Set<PieceConnection>();
  const ending = new AbortController();
  let closed = false;

  const takeIdle = (key: string): PieceConnection | undefined => {
    const list = idle.get(key);
    const taken = list?.pop();
    if (list?.length === 0) idle.delete(key);
    taken?.cancelTimer();
    return taken?.connection;
  };

  const keep = (key: string, connection: PieceConnection): void => {
    const list = idle.get(key) ?? [];
    if (closed || list.length >= MAX_IDLE_PER_PEER) {
      connection.destroy(closedError());
      return;
    }
    idle.set(key, list);
    const entry: Idle = {
      connection,
      cancelTimer: deps.clock.after(IDLE_TIMEOUT_MS, () => connection.destroy(closedError())),
    };
    list.push(entry);
    connection.onIdleClose(() => {
      entry.cancelTimer();
      const at = list.indexOf(entry);
      if (at !== -1) list.splice(at, 1);
      if (list.length === 0 && idle.get(key) === list) idle.delete(key);
    });
  };

  /** The attempt goes on when the request is given up: the next one finds the connection. */
  const open = async (
    key: string,
    address: Address,
    way: ReverseWay,
    signal: AbortSignal,
  ): Promise<PieceConnection> => {
    const opening = deps.open(address, way, ending.signal);
    try {
      return await withAbort(opening, signal);
    } catch (error) {
      if (signal.aborted) opening.then((connection) => keep(key, connection)).catch(() => {});
      throw error;
    }
  };

  return {
    async fetch(request, into, { signal, onProgress, pace, reverse }) {
      const { address, range } = request;
      if (into.length !== range.end - range.start || into.length === 0) {
        throw new DamselflyError(
          'INTERNAL',
          `${into.length} bytes of memory for a range of ${range.end - range.start}`,
        );
      }
      const head = formatPieceRequest(request);
      const key = reverse?.peer ?? `${address.host} ${address.port}`;
      for (let reuse = true; ; reuse = false) {
        if (signal.aborted) throw abortedError(signal);
        if (closed) throw closedError();
        const reused = reuse ? takeIdle(key) : undefined;
        const connection =
          reused ??
          (reverse === undefined
            ? PieceConnection.dial(address, deps)
            : await open(key, address, reverse, signal));
        if (signal.aborted || closed) {
          keep(key, connection);
          throw signal.aborted ? abortedError(signal) : closedError();
        }
        const onAbort = (): void => connection.destroy(abortedError(signal));
        signal.addEventListener('abort', onAbort, { once: true });
        busy.add(connection);
        const result = await connection.exchange({ head, range, into, onProgress, pace });
        busy.delete(connection);
        signal.removeEventListener('abort', onAbort);
        if (connection.reusable) keep(key, connection);
        if (result.kind === 'done') return;
        const stale = reused !== undefined && result.untouched && hasCode(result.error, 'PEER_UNREACHABLE');
        if (!stale) throw result.error;
      }
    },
    async close() {
      closed = true;
      ending.abort();
      for (const list of [...idle.values()]) {
        for (const { connection } of [...list]) connection.destroy(closedError());
      }
      for (const connection of busy) connection.destroy(closedError());
    },
  };
}

function closedError(): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', 'the piece transport is closed');
}
