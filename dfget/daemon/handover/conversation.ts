import type { Socket } from 'node:net';
import { DamselflyError } from '../../../lib/core/errors.ts';
import type { Clock } from '../../../lib/runtime/clock.ts';
import { decodeHandover, type HandoverMessage, MAX_LINE_CHARS } from './handover-message.ts';

/** Where the conversation begins, as an upgraded HTTP connection on the daemon's socket. */
export const HANDOVER_PATH = '/v1/handover';
export const HANDOVER_PROTOCOL = 'damselfly-handover/1';

/** Sends and receives the messages of one handover. */
export class Conversation {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #messages: HandoverMessage[] = [];
  #text = '';
  #ended = false;
  #wake = (): void => {};

  constructor(socket: Socket, head: Uint8Array, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on('error', () => socket.destroy());
    const over = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('close', over);
    // A connection of an HTTP server stays half open until it is ended here too.
    socket.on('end', () => {
      over();
      socket.end();
    });
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    if (head.length > 0) this.#read(Buffer.from(head));
  }

  say(message: HandoverMessage): void {
    if (!this.#ended) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  /** The next message; undefined when the other side is gone, or says nothing for so long. */
  async hear(deadlineMs: number): Promise<HandoverMessage | undefined> {
    let late = false;
    const cancel = this.#clock.after(deadlineMs, () => {
      late = true;
      this.#wake();
    });
    while (this.#messages.length === 0 && !this.#ended && !late) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    cancel();
    return this.#messages.shift();
  }

  /** A message that is here already. */
  heard(): HandoverMessage | undefined {
    return this.#messages.shift();
  }

  /** Whether the other side has gone. */
  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    this.#socket.end();
    this.#socket.resume();
  }

  #read(bytes: Buffer): void {
    this.#text += bytes.toString();
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    if (this.#text.length > MAX_LINE_CHARS) this.#socket.destroy();
    for (const line of lines) {
      const message = decodeHandover(line);
      if (message === undefined) this.#socket.destroy();
      else this.#messages.push(message);
    }
    this.#wake();
  }
}

export function handoverFailed(message: string): DamselflyError {
  return new DamselflyError('UPGRADE_FAILED', message);
}
