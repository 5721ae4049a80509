/** A connection between a process and a tracker, as either end has it: text messages in order. In the processes a WebSocket. */
export interface ControlLink {
  /** Connected, and neither end has begun to close. */
  readonly isOpen: boolean;
  /** Whether what we have dialled should make way for a new connection, since certificates change; absent where there are none. */
  readonly isOld?: boolean;
  /** Bytes queued and not yet handed to the network. */
  readonly bufferedBytes: number;
  /** Queues one message. */
  send(text: string): void;
  /** Ends the connection with a WebSocket close code (RFC 6455 section 7.4.1), behind what was sent before. */
  close(code?: number, reason?: string): void;
  /** Drops the connection at once, also one that is still being dialled. */
  terminate(): void;
  /** Sets the only listener, before anything can have happened; nothing is called from inside a call to the link. */
  listen(listener: ControlLinkListener): void;
}

export interface ControlLinkListener {
  /** What was dialled is connected. Never called for a link that was accepted. */
  opened?(): void;
  /** Undefined: a binary message, which nobody sends who knows the protocol. */
  message(text: string | undefined): void;
  /** Something went wrong; `closed` follows. */
  failed(problem: string): void;
  /** Exactly once, and last. */
  closed(reason: string): void;
}

/** Dials a tracker; what becomes of it is told to the listener. */
export type DialControl = (url: string) => ControlLink;
