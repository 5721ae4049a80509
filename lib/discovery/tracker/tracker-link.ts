import type { ClusterSettings } from '../../core/cluster-settings.ts';
import { describeError } from '../../core/errors.ts';
import type { PeerInfo } from '../../core/node.ts';
import type { Logger } from '../../observe/log.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { Credentials } from '../../security/credentials.ts';
import { decodeControl, encodeControl } from '../../wire/control-codec.ts';
import { CONTROL_PROTOCOL_VERSION, type ControlMessage } from '../../wire/control-messages.ts';
import type { ReportMessage, WatchMessage } from '../../wire/report-messages.ts';
import type { ControlLink, DialControl } from '../control-link.ts';
import { AnswerWatch } from './answer-watch.ts';
import { hostFromHere, seenFromHere } from './seen-from-here.ts';
import { dialWsControl } from './ws-control-link.ts';

const MIN_BACKOFF_MS = 200;
/** With the time of one dial that hangs, a tracker that is back is found, and told everything, within ten seconds. */
const MAX_BACKOFF_MS = 4_000;
/** From the dial to the welcome; a tracker that needs longer is of no use to a pull that starts now. */
const WELCOME_TIMEOUT_MS = 5_000;
/** Heartbeats that may go unanswered before the connection counts as dead; more of them when they are quick. */
const SILENT_HEARTBEATS = 3;
const SILENT_QUICK_HEARTBEATS = 10;
const LONG_SILENCE_MS = 10_000;
/** A tracker that reads nothing must not make this process grow. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;
/** How long a closing handshake may take before the socket is cut. */
const CLOSE_TIMEOUT_MS = 500;
const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
/** What a tracker answers. */
const QUESTIONS: ReadonlySet<ControlMessage['type']> = new Set(['announce', 'lease', 'renew']);

/** What a link tells its owner; all calls come from the event loop, none from inside a call to the link. */
export interface TrackerLinkListener {
  /** A tracker answers; it knows nothing of what was announced before, and of settings only these. */
  welcomed(settings: ClusterSettings | undefined): void;
  /** Anything but the greeting and heartbeats. */
  message(message: ControlMessage): void;
  /** Not connected any more; the link dials again by itself. */
  lost(): void;
  /** A question has waited for its answer for a second. */
  late(): void;
  /** It has not answered for a while, and may be gone; or it has spoken again. See {@link TrackerLink.answers}. */
  doubted(doubted: boolean): void;
}

export interface TrackerLinkDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Who we are: trackers are spoken to over mutual TLS alone. Without it their URLs say how. */
  readonly credentials?: Credentials | undefined;
  /** Told when somebody watches the cluster on a tracker. */
  readonly reporter?:
    | { watched(link: object, watch: WatchMessage, send: (report: ReportMessage) => void): void }
    | undefined;
  /** Told the zone that we are in, as a tracker knows it from our address; only when we have named none. */
  readonly placed?: ((zone: string) => void) | undefined;
  /** @default over WebSockets */
  readonly dial?: DialControl | undefined;
  /** Milliseconds since the epoch. @default the system's */
  readonly wallClockMs?: (() => number) | undefined;
}

/** The connection to one tracker: dials, greets, keeps alive and dials again for as long as it is not closed. */
export class TrackerLink {
  /** The tracker's URL: what blobs are sharded by, so every process must spell it the same way. */
  readonly id: string;
  readonly #host: string | undefined;
  readonly #deps: TrackerLinkDeps;
  readonly #peer: PeerInfo;
  readonly #listener: TrackerLinkListener;
  #socket: ControlLink | undefined;
  #welcomed = false;
  #doubted = false;
  #closed = false;
  #failures = 0;
  /** The connection that a new one is about to take the place of, since certificates have changed. */
  #old: ControlLink | undefined;
  #heardAtMs = 0;
  #supernodes: readonly PeerInfo[] = [];
  #cancelTimer: () => void = () => {};
  #greetedAtMs = 0;
  readonly #answers: AnswerWatch;
  #onClosed: () => void = () => {};

  constructor(
    deps: TrackerLinkDeps,
    options: { readonly url: string; readonly peer: PeerInfo },
    listener: TrackerLinkListener,
  ) {
    this.#deps = deps;
    this.id = options.url;
    this.#host = hostFromHere(options.url);
    this.#peer = options.peer;
    this.#listener = listener;
    this.#answers = new AnswerWatch(deps.clock, {
      late: () => listener.late(),
      probe: () => this.send({ type: 'heartbeat' }),
      doubt: () => this.#doubt(),
      giveUp: () => this.#socket?.terminate(),
    });
    this.#dial();
  }

  get connected(): boolean {
    return this.#welcomed;
  }

  /** Whether it is connected and worth a question: none that it has been asked lately is without an answer. */
  get answers(): boolean {
    return this.#welcomed && !this.#doubted;
  }

  /** Finds out whether it is there. */
  check(): void {
    if (this.#welcomed) this.#answers.check();
  }

  /** The living supernodes, as this tracker last told; kept while it is away. */
  get supernodes(): readonly PeerInfo[] {
    return this.#supernodes;
  }

  /** Queues a message; dropped when the tracker is not connected, since everything is announced again then. */
  send(message: ControlMessage): void {
    const socket = this.#socket;
    if (!this.#welcomed || socket === undefined) return;
    if (socket.bufferedBytes > MAX_BUFFERED_BYTES) socket.terminate();
    else {
      socket.send(encodeControl(message));
      if (QUESTIONS.has(message.type)) this.#answers.asked();
    }
  }

  #doubt(): void {
    if (!this.answers) return;
    this.#doubted = true;
    this.#listener.doubted(true);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#welcomed = false;
    this.#cancelTimer();
    this.#answers.stop();
    this.#endOld();
    const socket = this.#socket;
    if (socket === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onClosed = resolve;
    this.#cancelTimer = this.#deps.clock.after(CLOSE_TIMEOUT_MS, () => socket.terminate());
    socket.close();
    await promise;
    this.#cancelTimer();
  }

  #dial(): void {
    const { clock, credentials, wallClockMs = Date.now } = this.#deps;
    const { dial = (url) => dialWsControl(url, credentials) } = this.#deps;
    const socket = dial(this.id);
    this.#socket = socket;
    this.#cancelTimer = clock.after(WELCOME_TIMEOUT_MS, () => socket.terminate());
    let problem = '';
    socket.listen({
      opened: () => {
        this.#greetedAtMs = clock.now();
        const hello = { type: 'hello', protocol: CONTROL_PROTOCOL_VERSION, peer: this.#peer } as const;
        socket.send(encodeControl({ ...hello, clusterTimeMs: wallClockMs() }));
      },
      message: (text) => {
        if (this.#socket === socket) this.#receive(socket, text);
      },
      failed: (why) => {
        problem = why;
      },
      closed: (reason) => {
        if (this.#socket !== socket) return;
        this.#socket = undefined;
        if (this.#closed) this.#onClosed();
        else this.#onLost(problem || reason);
      },
    });
  }

  /** The new connection first: to the tracker a member that comes once more has not been away. */
  #replace(old: ControlLink): void {
    this.#deps.log.debug({ tracker: this.id }, 'tracker is dialled anew: certificates have changed');
    this.#old = old;
    this.#answers.stop();
    this.#welcomed = false;
    this.#doubted = false;
    this.#listener.lost();
    this.#dial();
  }

  #endOld(): void {
    this.#old?.close(NORMAL, 'certificates have changed');
    this.#old = undefined;
  }

  #onLost(problem: string): void {
    const { log, clock, rng } = this.#deps;
    const wasWelcomed = this.#welcomed;
    this.#answers.stop();
    this.#welcomed = false;
    this.#doubted = false;
    this.#endOld();
    // The random half keeps a thousand nodes from dialling a restarted tracker in step.
    const backoffMs =
      Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** this.#failures) * (0.5 + rng.float() / 2);
    this.#failures++;
    this.#cancelTimer();
    this.#cancelTimer = clock.after(backoffMs, () => this.#dial());
    if (wasWelcomed || this.#failures === 1) log.warn({ tracker: this.id, problem }, 'tracker lost');
    else log.debug({ tracker: this.id, problem }, 'tracker does not answer');
    if (wasWelcomed) this.#listener.lost();
  }

  #receive(socket: ControlLink, text: string | undefined): void {
    if (this.#closed || !socket.isOpen) return;
    this.#heardAtMs = this.#deps.clock.now();
    this.#answers.heard();
    if (this.#doubted) {
      this.#doubted = false;
      if (this.#welcomed) this.#listener.doubted(false);
    }
    try {
      const message = text === undefined ? undefined : decodeControl(text);
      if (message !== undefined) this.#dispatch(socket, seenFromHere(message, this.#host));
    } catch (error) {
      this.#deps.log.warn({ tracker: this.id, problem: describeError(error) }, 'tracker breaks the protocol');
      socket.close(PROTOCOL_ERROR);
    }
  }

  #dispatch(socket: ControlLink, message: ControlMessage): void {
    if (message.type === 'welcome' && !this.#welcomed) {
      if (message.protocol > CONTROL_PROTOCOL_VERSION) {
        socket.close(PROTOCOL_ERROR, 'unsupported protocol');
        return;
      }
      this.#welcomed = true;
      this.#endOld();
      this.#deps.credentials?.time.heard(this.id, message.clusterTimeMs, this.#greetedAtMs);
      this.#supernodes = message.supernodes ?? [];
      if (message.zone !== undefined) this.#deps.placed?.(message.zone);
      this.#cancelTimer();
      this.#keepAlive(socket, message.heartbeatMs);
      this.#deps.log.info({ tracker: this.id }, 'tracker connected');
      this.#listener.welcomed(message.settings);
    } else if (this.#welcomed && message.type === 'trust') {
      this.#deps.credentials?.trust(message);
    } else if (this.#welcomed && message.type !== 'heartbeat') {
      if (message.type === 'epoch') this.#supernodes = message.supernodes ?? [];
      if (message.type === 'watch') {
        this.#deps.reporter?.watched(this, message, (report) => this.send(report));
      } else this.#listener.message(message);
    }
  }

  #keepAlive(socket: ControlLink, heartbeatMs: number): void {
    const { clock } = this.#deps;
    this.#cancelTimer = clock.after(heartbeatMs, () => {
      const silentMs = clock.now() - this.#heardAtMs;
      if (silentMs > longestSilenceMs(heartbeatMs)) {
        socket.terminate();
        return;
      }
      if (silentMs > SILENT_HEARTBEATS * heartbeatMs) this.#doubt();
      // Only a connection that lasts resets the back-off: two processes with one id would else throw each other out
      // as fast as they can dial.
      this.#failures = 0;
      if (socket.isOld === true) {
        this.#replace(socket);
        return;
      }
      this.send({ type: 'heartbeat' });
      this.#keepAlive(socket, heartbeatMs);
    });
  }
}

function longestSilenceMs(heartbeatMs: number): number {
  return Math.max(
    SILENT_HEARTBEATS * heartbeatMs,
    Math.min(SILENT_QUICK_HEARTBEATS * heartbeatMs, LONG_SILENCE_MS),
  );
}
