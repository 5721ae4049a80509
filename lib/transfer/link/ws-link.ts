import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { describeError } from '../../core/errors.ts';
import type { Logger } from '../../observe/log.ts';
import { type Clock, every } from '../../runtime/clock.ts';
import { isOld } from '../../security/system/dialled.ts';
import { memberOf } from '../http/peer-member.ts';
import type { Link, LinkListener } from '../seams.ts';

/** Where links are served. */
export const LINK_PATH = '/v1/link';
/** The largest message of peer control is a `have` of about 500 KiB; 4 MiB leaves room for later ones. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** What may arrive before anyone listens: a hello and the first lists, sent without waiting for ours. */
const MAX_EARLY_BYTES = 1024 * 1024;
/** A neighbour that does not read for so long that this much is queued is given up. */
const MAX_QUEUED_BYTES = 32 * 1024 * 1024;
const PING_PERIOD_MS = 1000;
/** Pings without any byte in between, so five seconds: design invariant 8. */
const MAX_SILENT_PINGS = 5;
/** How long the other side may take to answer our close. */
const CLOSE_TIMEOUT_MS = 1000;
/** RFC 6455 5.5: a control frame carries 125 bytes, two of them the code. */
const MAX_REASON_BYTES = 123;

/** Close codes of RFC 6455 7.4.1 that we send. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  unsupportedData: 1003,
  tooMuch: 1009,
  internalError: 1011,
} as const;

/** A link and what its owner, the network, can do with it beyond the seam. */
export interface WsLink {
  readonly link: Link;
  /** Closes with a WebSocket close code. A second call is harmless. */
  end(code: number, reason: string): void;
  /** Drops the connection without ceremony. */
  terminate(): void;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
}

export interface WsLinkDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Peer control over one WebSocket: binary messages only, a ping a second, closed when the other side has been silent
 * for five. `closed` of the listener never comes from inside `send` or `close`.
 */
export function createWsLink(ws: WebSocket, socket: Socket, deps: WsLinkDeps): WsLink {
  let listener: LinkListener | undefined;
  let early: Uint8Array[] = [];
  let earlyBytes = 0;
  /** Why the link ended, as its owner will hear; set once, and nothing is delivered from then on. */
  let ended: string | undefined;
  let closed = false;
  let resolveClosed = (): void => {};
  let silentPings = 0;
  let bytesSeen = 0;
  let cancelCloseTimer = (): void => {};

  const end = (code: number, reason: string): void => {
    early = [];
    if (ended !== undefined) return;
    ended = reason;
    cancelPings();
    ws.close(code, cutReason(reason));
    cancelCloseTimer = deps.clock.after(CLOSE_TIMEOUT_MS, () => ws.terminate());
  };

  const terminate = (reason: string): void => {
    ended ??= reason;
    early = [];
    cancelPings();
    ws.terminate();
  };

  const deliver = (message: Uint8Array): void => {
    try {
      listener?.message(message);
    } catch (error) {
      deps.log.error({ error: describeError(error) }, 'a link listener failed');
      end(CloseCode.internalError, 'internal error');
    }
  };

  const tellClosed = (): void => {
    try {
      listener?.closed(ended ?? 'closed');
    } catch (error) {
      deps.log.error({ error: describeError(error) }, 'a link listener failed');
    }
  };

  const cancelPings = every(deps.clock, PING_PERIOD_MS, () => {
    // Ticks are counted, not time: after a pause of this process itself there is one tick, not a dead neighbour.
    if (socket.bytesRead !== bytesSeen) {
      bytesSeen = socket.bytesRead;
      silentPings = 0;
    } else if (++silentPings >= MAX_SILENT_PINGS) {
      terminate('no sign of life');
      return;
    }
    ws.ping(undefined, undefined, ignoreSendError);
  });

  ws.on('message', (data, isBinary) => {
    if (ended !== undefined) return;
    if (!isBinary || !(data instanceof Uint8Array)) {
      end(CloseCode.unsupportedData, 'binary messages only');
    } else if (listener !== undefined) {
      deliver(data);
    } else if (earlyBytes + data.length > MAX_EARLY_BYTES) {
      end(CloseCode.tooMuch, 'too much before the handshake');
    } else {
      early.push(data);
      earlyBytes += data.length;
    }
  });
  // Oversize and malformed frames end here; ws closes the connection itself and 'close' follows.
  ws.on('error', (error) => {
    ended ??= error.message;
  });
  ws.on('close', (_code, reason) => {
    ended ??= reason.length > 0 ? reason.toString() : 'closed by the peer';
    closed = true;
    cancelPings();
    cancelCloseTimer();
    tellClosed();
    resolveClosed();
  });

  const link: Link = {
    remoteHost: (socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    member: memberOf(socket),
    get isOld() {
      return isOld(socket);
    },
    get bufferedBytes() {
      return ws.bufferedAmount;
    },
    send(message) {
      if (ended !== undefined) return;
      if (ws.bufferedAmount > MAX_QUEUED_BYTES) terminate('the peer does not read');
      else ws.send(message, { binary: true }, ignoreSendError);
    },
    listen(newListener) {
      listener = newListener;
      // One by one: the listener may close the link, and then hears no more.
      for (let message = early.shift(); message !== undefined; message = early.shift()) deliver(message);
      if (closed) tellClosed();
    },
    close: (reason) => end(CloseCode.normal, reason),
  };
  return {
    link,
    end,
    terminate: () => terminate('closed'),
    closed: new Promise((resolve) => {
      resolveClosed = resolve;
    }),
  };
}

/** A send that fails is followed by 'close', which says all there is to say. */
function ignoreSendError(): void {}

function cutReason(reason: string): Buffer {
  return Buffer.from(reason.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MAX_REASON_BYTES));
}
