import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket } from 'ws';
import { describeError } from '../../core/errors.ts';
import { ACTS } from '../../security/acts.ts';
import type { Credentials } from '../../security/credentials.ts';
import { isOld, noteDialled } from '../../security/system/dialled.ts';
import { checkedTls } from '../../security/system/mutual-tls.ts';
import { createSocketGuard } from '../../security/system/socket-guard.ts';
import { MAX_CONTROL_BYTES } from '../../wire/control-messages.ts';
import type { ControlLink } from '../control-link.ts';
import { textFrame } from './text-frame.ts';

/** A tracker whose machine is gone: the kernel looks for it from then on, each second, ten times. */
const KEEP_ALIVE_MS = 10_000;
const MAX_TOLD_REASON = 120;

/**
 * The control connection over a WebSocket, dialled or accepted.
 * @param accepted what an accepted WebSocket runs over: messages are then written to it in one piece
 * @param isOld see {@link ControlLink}
 */
export function wsControlLink(
  socket: WebSocket,
  { accepted, isOld = () => false }: { readonly accepted?: Duplex; readonly isOld?: () => boolean } = {},
): ControlLink {
  return {
    get isOld() {
      return isOld();
    },
    get isOpen() {
      return socket.readyState === WebSocket.OPEN;
    },
    get bufferedBytes() {
      return socket.bufferedAmount;
    },
    send(text) {
      const frame = accepted === undefined ? undefined : textFrame(text);
      if (frame === undefined) socket.send(text);
      else if (socket.readyState === WebSocket.OPEN) accepted?.write(frame, 'latin1');
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
    listen(listener) {
      socket.on('open', () => listener.opened?.());
      socket.on('message', (data: RawData, isBinary) => {
        listener.message(isBinary ? undefined : (data as Buffer).toString());
      });
      socket.on('error', (error) => listener.failed(describeError(error)));
      socket.on('close', (code, reason) => {
        listener.closed(`closed with ${code} ${reason.toString().slice(0, MAX_TOLD_REASON)}`);
      });
    },
  };
}

/** @param credentials who we are: whoever answers must be a tracker of our cluster. Without it the URL says how */
export function dialWsControl(url: string, credentials?: Credentials): ControlLink {
  const socket = new WebSocket(url, {
    maxPayload: MAX_CONTROL_BYTES,
    perMessageDeflate: false,
    // Node takes undefined or an error from checkServerIdentity, whatever the types of ws say.
    ...(credentials && (checkedTls(credentials, ACTS.coordinate) as object)),
  });
  const keys = credentials?.keys;
  let below: Socket | undefined;
  socket.on('upgrade', (response) => {
    below = response.socket;
    below.setKeepAlive(true, KEEP_ALIVE_MS);
    if (credentials === undefined) return;
    noteDialled(below, credentials, keys);
    const guard = createSocketGuard(credentials, () => {});
    guard.watch(below);
    below.once('close', () => guard.close());
  });
  return wsControlLink(socket, { isOld: () => below !== undefined && isOld(below) });
}
