import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { abortedError, DamselflyError } from '../../core/errors.ts';
import { type Connect, hostHeader } from '../http/connect.ts';
import { connectionError } from '../http/peer-tls.ts';
import type { Address } from '../seams.ts';
import { createWsLink, LINK_PATH, MAX_MESSAGE_BYTES, type WsLink, type WsLinkDeps } from './ws-link.ts';

/** Connecting and upgrading together: a peer that needs longer is no good neighbour. */
const DIAL_TIMEOUT_MS = 2000;

/**
 * Opens a link to a peer.
 * @throws PEER_UNREACHABLE, ABORTED
 */
export async function dialWsLink(
  address: Address,
  options: { readonly signal: AbortSignal; readonly connect: Connect },
  deps: WsLinkDeps,
): Promise<WsLink> {
  const { signal, connect } = options;
  if (signal.aborted) throw abortedError(signal);
  const authority = hostHeader(address);
  return new Promise((resolve, reject) => {
    // The URL names no one: where to connect to is the address's business, whatever a URL makes of such a host.
    const ws = new WebSocket(`ws://peer${LINK_PATH}`, {
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      createConnection: () => connect({ host: address.host, port: address.port, noDelay: true }),
    });
    let socket: Socket | undefined;
    const giveUp = (error: DamselflyError): void => {
      settle();
      // Terminating before the handshake emits one more 'error', which nobody waits for.
      ws.on('error', () => {});
      ws.terminate();
      reject(error);
    };
    const onAbort = (): void => giveUp(abortedError(signal));
    const cancelTimeout = deps.clock.after(DIAL_TIMEOUT_MS, () =>
      giveUp(new DamselflyError('PEER_UNREACHABLE', `no link to ${authority}: timed out`)),
    );
    const settle = (): void => {
      cancelTimeout();
      signal.removeEventListener('abort', onAbort);
      ws.removeAllListeners('error');
    };
    signal.addEventListener('abort', onAbort, { once: true });
    ws.on('error', (error) => giveUp(connectionError(error, `no link to ${authority}`)));
    ws.on('upgrade', (response) => {
      socket = response.socket;
    });
    ws.on('open', () => {
      if (socket === undefined) return;
      settle();
      resolve(createWsLink(ws, socket, deps));
    });
  });
}
