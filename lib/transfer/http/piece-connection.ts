import type { Socket } from 'node:net';
import { DamselflyError } from '../../core/errors.ts';
import type { ByteRange } from '../../core/range.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Pace } from '../../runtime/rate-limit.ts';
import { isOld } from '../../security/system/dialled.ts';
import type { Address, PeerMember } from '../seams.ts';
import { type Connect, type OnRead, onceConnected, readInto } from './connect.ts';
import { memberOf } from './peer-member.ts';
import { connectionError } from './peer-tls.ts';
import { badResponse, parsePieceResponse } from './piece-response.ts';

/** Ours are under 300 bytes; whatever is longer was not sent by a peer of ours. */
const MAX_HEAD_BYTES = 16 * 1024;
const CONNECT_TIMEOUT_MS = 2000;
/** Only a net: whoever fetches gives up far sooner by its signal. */
const SILENCE_TIMEOUT_MS = 30_000;
const HEAD_END = '\r\n\r\n';
const ENDED = 'the connection to the peer ended';

/** One exchange: the head of a request, and where the bytes it asks for go. */
export interface PieceExchange {
  readonly head: string;
  readonly range: ByteRange;
  readonly into: Uint8Array;
  readonly onProgress: ((receivedBytes: number) => void) | undefined;
  readonly pace?: Pace | undefined;
}

/** How an exchange ended. `untouched`: without a byte of an answer, so that asking again cannot do harm. */
export type ExchangeResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: DamselflyError; readonly untouched: boolean };

interface Current extends PieceExchange {
  finish(result: ExchangeResult): void;
  cancelTimer(): void;
}

/**
 * A keep-alive HTTP/1.1 connection to one peer, one request at a time. Bodies land in the caller's memory directly:
 * after each read the socket asks {@link #buffer} where the next bytes go, and while a body is awaited that is the
 * rest of `into`, never more. General HTTP clients cost about twice the CPU for the same bytes.
 */
export class PieceConnection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #head = Buffer.allocUnsafeSlow(MAX_HEAD_BYTES);
  #headBytes = 0;
  #current: Current | undefined;
  #inBody = false;
  #bodyBytes = 0;
  #keepAlive = true;
  #closed = false;
  #onIdleClose = (): void => {};
  #onReady: (error?: DamselflyError) => void = () => {};

  private constructor(clock: Clock, open: (onread: OnRead) => Socket) {
    this.#clock = clock;
    this.#socket = open({ buffer: () => this.#buffer(), callback: (bytes) => this.#received(bytes) });
    let cancelTimeout = (): void => {};
    if (this.#socket.connecting) {
      cancelTimeout = clock.after(CONNECT_TIMEOUT_MS, () => this.#fail(unreachable('connecting timed out')));
      onceConnected(this.#socket, () => {
        cancelTimeout();
        if (!this.#closed) this.#onReady();
      });
    }
    this.#socket.on('error', (error) => this.#fail(connectionError(error, ENDED)));
    this.#socket.on('end', () => this.#fail(unreachable('it closed the connection')));
    this.#socket.on('close', () => {
      cancelTimeout();
      this.#fail(unreachable('it closed the connection'));
    });
  }

  static dial(
    { host, port }: Address,
    { clock, connect }: { readonly clock: Clock; readonly connect: Connect },
  ): PieceConnection {
    // With keep-alive the kernel notices a peer that is gone while the connection idles.
    const to = { host, port, noDelay: true, keepAlive: true };
    return new PieceConnection(clock, (onread) => connect({ ...to, onread }));
  }

  /** A connection that the peer has opened. */
  static over(socket: Socket, clock: Clock): PieceConnection {
    return new PieceConnection(clock, (onread) => readInto(socket, onread));
  }

  /** Calls when the other machine has answered the first packet; TLS is still to come. */
  onAnswered(callback: () => void): void {
    this.#socket.once('connect', callback);
  }

  /** Sets what to call when a connection that is being dialled can carry bytes, or with why it never will. */
  onReady(callback: (error?: DamselflyError) => void): void {
    this.#onReady = callback;
  }

  /** Who is at the other end, once it is connected; undefined where nobody proves anything. */
  get member(): PeerMember | undefined {
    return memberOf(this.#socket);
  }

  /** Whether another request can be sent. */
  get reusable(): boolean {
    return !this.#closed && this.#keepAlive && this.#current === undefined && !isOld(this.#socket);
  }

  /** Sets what to call when the connection ends between two requests. */
  onIdleClose(callback: () => void): void {
    this.#onIdleClose = callback;
  }

  /** Sends a request and waits for all of its answer. Never rejects. */
  exchange(exchange: PieceExchange): Promise<ExchangeResult> {
    return new Promise((resolve) => {
      this.#headBytes = 0;
      this.#bodyBytes = 0;
      this.#inBody = false;
      let watched = 0;
      let cancelTimer = (): void => {};
      const watch = (): void => {
        cancelTimer = this.#clock.after(SILENCE_TIMEOUT_MS, () => {
          if (this.#headBytes + this.#bodyBytes === watched) this.#fail(unreachable('it went silent'));
          else {
            watched = this.#headBytes + this.#bodyBytes;
            watch();
          }
        });
      };
      this.#current = { ...exchange, finish: resolve, cancelTimer: () => cancelTimer() };
      if (this.#closed) this.#finish({ kind: 'failed', error: unreachable('it closed'), untouched: true });
      else {
        watch();
        this.#socket.write(exchange.head, 'latin1');
      }
    });
  }

  /** Ends the connection at once; not one more byte is written into anyone's memory. */
  destroy(error: DamselflyError): void {
    this.#fail(error);
  }

  /** Where the next bytes from the network go. Must never be empty. */
  #buffer(): Uint8Array {
    const current = this.#current;
    if (this.#inBody && current !== undefined) {
      const most = current.pace?.quantumBytes ?? current.into.length;
      return current.into.subarray(this.#bodyBytes, this.#bodyBytes + most);
    }
    return this.#headBytes < MAX_HEAD_BYTES ? this.#head.subarray(this.#headBytes) : this.#head;
  }

  /** Called by the socket for each read; must not throw. */
  #received(bytes: number): boolean {
    try {
      if (this.#closed) return false;
      const { pace } = this.#current ?? {};
      if (this.#current === undefined) this.#fail(badResponse('bytes that nobody asked for'));
      else if (this.#inBody) this.#receivedBody(this.#current, bytes);
      else this.#receivedHead(this.#current, bytes);
      const turn = pace?.take(bytes);
      if (turn !== undefined && this.#inBody) {
        void turn.then(() => this.#socket.resume());
        return false;
      }
    } catch (error) {
      this.#fail(
        error instanceof DamselflyError
          ? error
          : new DamselflyError('INTERNAL', 'a piece request failed', {}, { cause: error }),
      );
    }
    return !this.#closed;
  }

  #receivedHead(current: Current, bytes: number): void {
    // The end may be split over two reads: look again at the last three bytes of the read before.
    const searchFrom = Math.max(0, this.#headBytes - HEAD_END.length + 1);
    this.#headBytes += bytes;
    const received = this.#head.subarray(0, this.#headBytes);
    const end = received.indexOf(HEAD_END, searchFrom, 'latin1');
    if (end === -1) {
      if (this.#headBytes === MAX_HEAD_BYTES) throw badResponse('an endless head');
      return;
    }
    const response = parsePieceResponse(received.toString('latin1', 0, end), current.range);
    const rest = received.subarray(end + HEAD_END.length);
    this.#keepAlive = response.keepAlive;
    if (response.kind === 'refused') {
      if (rest.length > 0) this.#keepAlive = false;
      this.#finish({ kind: 'failed', error: response.error, untouched: false });
    } else {
      if (rest.length > current.into.length) throw badResponse('more bytes than announced');
      current.into.set(rest);
      this.#inBody = true;
      if (rest.length > 0) this.#receivedBody(current, rest.length);
    }
  }

  #receivedBody(current: Current, bytes: number): void {
    this.#bodyBytes += bytes;
    const complete = this.#bodyBytes === current.into.length;
    // From here on reads go to the head buffer again, where they are noticed as not asked for.
    if (complete) this.#inBody = false;
    current.onProgress?.(this.#bodyBytes);
    // The listener may have aborted this very exchange.
    if (complete && !this.#closed) this.#finish({ kind: 'done' });
  }

  /** Ends the exchange under way, if any, and with it the connection when it cannot be used again. */
  #finish(result: ExchangeResult): void {
    const current = this.#current;
    this.#current = undefined;
    this.#headBytes = 0;
    if (!this.#keepAlive) this.#close();
    current?.cancelTimer();
    current?.finish(result);
  }

  #fail(error: DamselflyError): void {
    if (this.#closed) return;
    const idle = this.#current === undefined;
    const untouched = this.#headBytes === 0;
    this.#close();
    this.#onReady(error);
    if (idle) this.#onIdleClose();
    else this.#finish({ kind: 'failed', error, untouched });
  }

  #close(): void {
    this.#closed = true;
    this.#socket.destroy();
  }
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `${ENDED}: ${why}`);
}
