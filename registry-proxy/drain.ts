import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { type Clock, every } from '../lib/runtime/clock.ts';

/**
 * A client may be about to ask on a connection that idles: it is ended only after this long without a request, by when
 * clients know from `Connection: close` or from a listener that is gone.
 */
const IDLE_MS = 1_500;
const CHECK_MS = 100;

/** Ends servers without cutting an answer short. */
export class Drain {
  readonly #clock: Clock;
  readonly #answering = new Set<ServerResponse>();
  /** Connections without a request under way, and since when. */
  readonly #idle = new Map<Socket, number>();
  #draining = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Watches the connections of a server. */
  watch(server: HttpServer): void {
    // Requests know the socket that they are read from: with TLS not the one that was accepted.
    server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#idle.set(socket, this.#clock.now());
      socket.once('close', () => this.#idle.delete(socket));
    });
  }

  /** The connection is a tunnel: it does not idle when it carries no request. */
  forget(socket: Socket): void {
    this.#idle.delete(socket);
  }

  /** Call for each request before it is answered. */
  begins({ socket }: IncomingMessage, response: ServerResponse): void {
    this.#idle.delete(socket);
    this.#answering.add(response);
    if (this.#draining) response.shouldKeepAlive = false;
    response.once('close', () => {
      this.#answering.delete(response);
      if (!socket.destroyed) this.#idle.set(socket, this.#clock.now());
    });
  }

  /**
   * Takes no more connections; each that is there ends with the answer under way on it, or after 1.5 s without one.
   * @param idle called every 1.5 s: to end what else stands still
   */
  async run(servers: readonly HttpServer[], idle: () => void): Promise<void> {
    this.#draining = true;
    for (const response of this.#answering) if (!response.headersSent) response.shouldKeepAlive = false;
    const since = this.#clock.now();
    const stopChecking = every(this.#clock, CHECK_MS, () => {
      const now = this.#clock.now();
      for (const [socket, sinceMs] of this.#idle) {
        if (now - Math.max(since, sinceMs) >= IDLE_MS) socket.destroySoon();
      }
    });
    const stopIdling = every(this.#clock, IDLE_MS, idle);
    // Not the close of http.Server: that one ends idle connections at once.
    await Promise.all(
      servers.map((server) => new Promise((resolve) => NetServer.prototype.close.call(server, resolve))),
    );
    stopChecking();
    stopIdling();
    // Only this one ends its timer.
    for (const server of servers) server.close();
  }
}
