import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { PeerMember } from '../seams.ts';

/** What the hosts of a {@link createMemoryMedium} share, and how a host is connected to it. */
export interface MediumOptions {
  /** One way, in milliseconds. @default 1 */
  readonly latencyMs?: number;
  /** Added to the latency, uniform from 0 to this. @default 0 */
  readonly jitterMs?: number;
}

export interface HostOptions {
  /** What the host can send, bytes a second. @default unlimited */
  readonly upBytesPerSecond?: number;
  /** What it can receive, bytes a second. @default unlimited */
  readonly downBytesPerSecond?: number;
  /** Who its processes prove to be. @default nobody has to */
  readonly member?: PeerMember;
}

/** One direction of one connection: what is put into it arrives in order. */
export interface Channel {
  /**
   * Calls `sent` when the sender's uplink is free again and `arrive` when all bytes are with the receiver. Both wait
   * while the hosts are partitioned. Zero bytes cost latency only: control never waits behind pieces.
   */
  carry(bytes: number, arrive: () => void, sent?: () => void): void;
}

/** What is wrong with the way between two hosts. */
export interface Trouble {
  /** Added to the latency. @default 0 */
  readonly delayMs?: number;
  /** Share of messages that are lost: they come later, when they were sent again. @default 0 */
  readonly loss?: number;
}

/** Time, bandwidth and partitions between hosts. All by Clock timers, in one order: same seed, same run. */
export interface MemoryMedium {
  connect(host: string, options: HostOptions): void;
  /** From now on the host can send and receive as much; what is on the wire stays there. */
  setRates(host: string, options: HostOptions): void;
  /** From now on the way between the two is like that; undefined: as good as any. */
  trouble(a: string, b: string, trouble: Trouble | undefined): void;
  /** Nothing happens at the host any more: what arrives waits for {@link MemoryMedium.thaw}, in order. */
  freeze(host: string): void;
  thaw(host: string): void;
  frozen(host: string): boolean;
  /** @throws INTERNAL when either host was never connected */
  channel(fromHost: string, toHost: string): Channel;
  partition(a: string, b: string): void;
  /** Ends a partition; what was under way goes on. */
  heal(a: string, b: string): void;
  partitioned(a: string, b: string): boolean;
}

/** As TCP: what is lost is sent again after so long, and after twice as long when it is lost again. */
const RESEND_MS = 200;
const MAX_RESENDS = 4;

interface Wire {
  bytesPerMs: number;
  freeAtMs: number;
}

export function createMemoryMedium(
  deps: { readonly clock: Clock; readonly rng: Rng },
  options: MediumOptions,
): MemoryMedium {
  const { clock, rng } = deps;
  const latencyMs = options.latencyMs ?? 1;
  const jitterMs = options.jitterMs ?? 0;
  const up = new Map<string, Wire>();
  const down = new Map<string, Wire>();
  const partitions = new Set<string>();
  const frozen = new Set<string>();
  const troubles = new Map<string, Trouble>();
  /** What waits for the end of a partition, by pair, or of a freeze, by host. */
  const held = new Map<string, (() => void)[]>();

  /** Does something at the host `at` that comes from, or has gone to, the other one, as soon as that is possible. */
  const whenPossible = (a: string, b: string, at: string, action: () => void): void => {
    const pair = pairKey(a, b);
    const obstacle = partitions.has(pair) ? pair : frozen.has(at) ? at : undefined;
    if (obstacle === undefined) {
      action();
      return;
    }
    const waiting = held.get(obstacle) ?? [];
    held.set(obstacle, waiting);
    waiting.push(() => whenPossible(a, b, at, action));
  };
  const release = (obstacle: string): void => {
    const actions = held.get(obstacle) ?? [];
    held.delete(obstacle);
    for (const action of actions) action();
  };
  const troubleMs = (a: string, b: string): number => {
    const { delayMs = 0, loss = 0 } = troubles.get(pairKey(a, b)) ?? {};
    let ms = delayMs;
    for (let resend = 0; resend < MAX_RESENDS && loss > 0 && rng.float() < loss; resend++) {
      ms += RESEND_MS * 2 ** resend;
    }
    return ms;
  };

  return {
    channel(fromHost, toHost) {
      const sender = wireOf(up, fromHost);
      const receiver = wireOf(down, toHost);
      let lastArrivalMs = 0;
      return {
        carry(bytes, arrive, sent) {
          const now = clock.now();
          const sentMs = bytes === 0 ? now : occupy(sender, now, bytes);
          const wayMs = latencyMs + (jitterMs === 0 ? 0 : rng.float() * jitterMs);
          const earliestMs = sentMs + wayMs + troubleMs(fromHost, toHost);
          // The downlink takes bytes as they come: only what it cannot keep up with adds time.
          const receivedMs =
            bytes === 0 ? earliestMs : Math.max(earliestMs, occupy(receiver, now + latencyMs, bytes));
          lastArrivalMs = Math.max(receivedMs, lastArrivalMs);
          if (sent !== undefined) {
            clock.after(sentMs - now, () => whenPossible(fromHost, toHost, fromHost, sent));
          }
          clock.after(lastArrivalMs - now, () => whenPossible(fromHost, toHost, toHost, arrive));
        },
      };
    },
    connect(host, hostOptions) {
      up.set(host, createWire(hostOptions.upBytesPerSecond));
      down.set(host, createWire(hostOptions.downBytesPerSecond));
    },
    setRates(host, { upBytesPerSecond, downBytesPerSecond }) {
      wireOf(up, host).bytesPerMs = perMs(upBytesPerSecond);
      wireOf(down, host).bytesPerMs = perMs(downBytesPerSecond);
    },
    trouble(a, b, trouble) {
      if (trouble === undefined) troubles.delete(pairKey(a, b));
      else troubles.set(pairKey(a, b), trouble);
    },
    freeze: (host) => void frozen.add(host),
    thaw(host) {
      frozen.delete(host);
      release(host);
    },
    frozen: (host) => frozen.has(host),
    partition: (a, b) => void partitions.add(pairKey(a, b)),
    heal(a, b) {
      partitions.delete(pairKey(a, b));
      release(pairKey(a, b));
    },
    partitioned: (a, b) => partitions.has(pairKey(a, b)),
  };
}

function createWire(bytesPerSecond: number | undefined): Wire {
  return { bytesPerMs: perMs(bytesPerSecond), freeAtMs: 0 };
}

function perMs(bytesPerSecond = Number.POSITIVE_INFINITY): number {
  return bytesPerSecond / 1000;
}

function wireOf(wires: Map<string, Wire>, host: string): Wire {
  const wire = wires.get(host);
  if (wire === undefined) throw new DamselflyError('INTERNAL', `no host ${host} on this network`);
  return wire;
}

/** Puts bytes on a wire behind those already there. @returns when the last of them is through */
function occupy(wire: Wire, fromMs: number, bytes: number): number {
  wire.freeAtMs = Math.max(wire.freeAtMs, fromMs) + bytes / wire.bytesPerMs;
  return wire.freeAtMs;
}

/** One name for two hosts, whichever comes first. */
export function pairKey(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
