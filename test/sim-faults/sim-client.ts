import type { BlobRequest } from '../../lib/core/blob-source.ts';
import type { Digest } from '../../lib/core/digest.ts';
import { DamselflyError, describeError } from '../../lib/core/errors.ts';
import { type Clock, delay } from '../../lib/runtime/clock.ts';
import { PeerEngine } from '../../lib/transfer/peer-engine.ts';
import type { RunningPeer } from './sim-peer.ts';

/** As a container runtime after a failed pull, only sooner. */
const COMES_BACK_MS = 500;
/** Chunks may be as small as a piece: a slow client is not slow for ever. */
const MOST_PAUSES = 20;
const ORIGIN = { upstream: 'registry.test', repository: 'team/app' };

export interface PullOf {
  readonly node: string;
  readonly digest: Digest;
  /** What the client is to get. */
  readonly truth: Uint8Array;
  readonly pauseMs: number;
}

export interface ClientEvents {
  /** The daemon on the client's machine; undefined while none runs. */
  daemon(): RunningPeer | undefined;
  /** Whether this attempt's bytes may be wrong, if it is cut off before it is complete. */
  mayLie(): boolean;
  /** Part of what every run with the same plan repeats. */
  note(what: string): void;
  /** A byte was wrong, or all of them together were. */
  wrong(what: string): void;
  /** The attempt was answered by an error, or cut off, by a daemon that lives. */
  failed(problem: string, sinceMs: number): void;
  /** The client has waited so long for its next byte. */
  waited(ms: number, sinceMs: number): void;
}

/** A client that pulls a blob through the daemon of its machine, and comes back until it has all of it. */
export class SimClient {
  readonly pull: PullOf;
  readonly #clock: Clock;
  readonly #events: ClientEvents;
  attempts = 0;
  receivedBytes = 0;
  done = false;
  /** Since when it waits for a byte; undefined while it takes its time itself. */
  waitingSinceMs: number | undefined;

  constructor(pull: PullOf, clock: Clock, events: ClientEvents) {
    this.pull = pull;
    this.#clock = clock;
    this.#events = events;
  }

  async run(startMs: number): Promise<void> {
    await delay(this.#clock, startMs);
    while (!this.done) {
      const daemon = this.#events.daemon();
      if (daemon !== undefined) await this.#attempt(daemon);
      this.waitingSinceMs = undefined;
      if (!this.done) await delay(this.#clock, COMES_BACK_MS);
    }
  }

  async #attempt(daemon: RunningPeer): Promise<void> {
    const { digest, pauseMs, truth } = this.pull;
    const sinceMs = this.#clock.now();
    const { engine } = daemon;
    if (!(engine instanceof PeerEngine)) throw new Error('a client of a supernode');
    this.attempts++;
    // Half of them go on where they stood, as containerd does; not from bytes that may be wrong.
    const from = this.attempts % 2 === 0 && !this.#events.mayLie() ? this.receivedBytes : 0;
    const rest = { range: { start: from, end: truth.length }, rangeIs: 'rest' } as const;
    const request: BlobRequest = { digest, size: truth.length, origin: ORIGIN, ...(from > 0 ? rest : {}) };
    const abort = new AbortController();
    const chunks = engine.open(request, { signal: abort.signal })[Symbol.asyncIterator]();
    let at = from;
    let right = true;
    let pauses = 0;
    try {
      for (;;) {
        this.waitingSinceMs = this.#clock.now();
        const next: IteratorResult<Uint8Array, unknown> = await Promise.race([chunks.next(), daemon.gone]);
        this.#events.waited(this.#clock.now() - this.waitingSinceMs, this.waitingSinceMs);
        this.waitingSinceMs = undefined;
        if (next.done === true) break;
        const { value } = next;
        if (Buffer.compare(value, truth.subarray(at, at + value.length)) !== 0) {
          right = false;
          if (!this.#events.mayLie()) this.#events.wrong(`wrong bytes from ${at} on`);
        }
        at += value.length;
        this.receivedBytes = at;
        if (pauseMs > 0 && pauses++ < MOST_PAUSES) {
          await Promise.race([delay(this.#clock, pauseMs), daemon.gone]);
        }
      }
    } catch (error) {
      this.#events.note(`attempt ${this.attempts} ended after ${at} bytes: ${describeError(error)}`);
      if (right === false) this.receivedBytes = 0;
      if (daemon.process.alive && !daemon.stopping) {
        const code = error instanceof DamselflyError ? error.code : 'no code';
        this.#events.failed(`${code}: ${describeError(error)}`, sinceMs);
      }
      abort.abort();
      return;
    }
    if (at !== truth.length) this.#events.wrong(`${at} bytes of ${truth.length}, as if they were all`);
    else if (!right) this.#events.wrong('a complete wrong blob');
    this.done = true;
    this.#events.note(`has all ${at} bytes after ${this.attempts} attempts`);
  }
}
