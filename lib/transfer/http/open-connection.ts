import { BoundedMap } from '../../core/bounded-map.ts';
import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Address, ReverseWay } from '../seams.ts';
import type { AwaitedConnections } from './awaited-connections.ts';
import type { Connect } from './connect.ts';
import { PieceConnection } from './piece-connection.ts';

/** No way round the world is so long: who has not answered the first packet by then drops it. */
const PATIENCE_MS = 300;
/** The answer may be here, and this process have been busy. */
const LOOK_AGAIN_MS = 20;
/** Only a net: whoever fetches turns to others far sooner, and finds the connection when it comes. */
const REVERSE_TIMEOUT_MS = 4000;
/** A peer that could not be dialled is dialled again after this: firewalls change. */
const DIAL_AGAIN_MS = 30_000;
const MAX_REMEMBERED = 1024;

/** Opens a connection to a peer, unless the signal fires first. @throws PEER_UNREACHABLE, PEER_UNTRUSTED */
export type OpenConnection = (
  address: Address,
  way: ReverseWay,
  signal: AbortSignal,
) => Promise<PieceConnection>;

/**
 * Opens connections to peers by whichever way works: dials, and when that fails or takes long has the peer connect to
 * us. Who could not be dialled is asked at once from then on.
 */
export function createOpener(deps: {
  readonly clock: Clock;
  readonly connect: Connect;
  readonly awaited: AwaitedConnections;
}): OpenConnection {
  const { awaited, clock } = deps;
  /** Peer -> when to dial it again. */
  const undialled = new BoundedMap<number>(MAX_REMEMBERED);

  return (address, way, signal) =>
    new Promise((resolve, reject) => {
      const { peer } = way;
      const dialAgainMs = undialled.get(peer);
      const isKnown = dialAgainMs !== undefined;
      const dials = !isKnown || clock.now() >= dialAgainMs;
      if (isKnown && dials) undialled.set(peer, clock.now() + DIAL_AGAIN_MS);
      let over = false;
      let asked = false;
      const cancels: (() => void)[] = [];
      const end = (): void => {
        over = true;
        for (const cancel of cancels) cancel();
      };
      const settle = (connection: PieceConnection): void => {
        end();
        if (connection !== dialled) dialled?.destroy(unreachable('it has connected to us'));
        resolve(connection);
      };
      const fail = (error: DamselflyError): void => {
        end();
        dialled?.destroy(error);
        reject(error);
      };
      const onAbort = (): void => fail(unreachable('no connections are opened any more'));
      signal.addEventListener('abort', onAbort, { once: true });
      cancels.push(() => signal.removeEventListener('abort', onAbort));
      const ask = (): void => {
        if (asked || over) return;
        asked = true;
        const cancel = awaited.expect(way, (socket) => {
          undialled.set(peer, clock.now() + DIAL_AGAIN_MS);
          settle(PieceConnection.over(socket, clock));
        });
        if (cancel === undefined) {
          fail(unreachable('enough connections of it are awaited'));
          return;
        }
        const cancelTimeout = clock.after(REVERSE_TIMEOUT_MS, () =>
          fail(unreachable('it can neither be dialled, nor does it connect to us')),
        );
        cancels.push(cancel, cancelTimeout);
        way.ask();
      };
      const dialled = dials ? PieceConnection.dial(address, deps) : undefined;
      dialled?.onReady((error) => {
        if (over) return;
        const found = dialled.member;
        // Behind an address that several machines share there may be another one.
        if (error !== undefined || (found !== undefined && found.id !== peer)) {
          dialled.destroy(unreachable('somebody else is there'));
          ask();
        } else {
          undialled.delete(peer);
          settle(dialled);
        }
      });
      if (isKnown) {
        ask();
        return;
      }
      let cancelPatience = clock.after(PATIENCE_MS, () => {
        cancelPatience = clock.after(LOOK_AGAIN_MS, ask);
      });
      cancels.push(() => cancelPatience());
      // However busy it is: it can be dialled.
      dialled?.onAnswered(() => cancelPatience());
    });
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `no connection to the peer: ${why}`);
}
