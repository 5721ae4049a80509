import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';

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
}

/** One direction of one connection: what is put into it arrives in order. */
export interface Channel {
  /**
   * Calls `sent` when the sender's uplink is free again and `arrive` when all bytes are with the receiver. Both wait
   * while the hosts are partitioned. Zero bytes cost latency only: control never waits behind pieces.
   */
  carry(bytes: number, arrive: () => void, sent?: () => void): void;
}

/** Time, bandwidth and partitions between hosts. All by Clock timers, in one order: same seed, same run. */
export interface MemoryMedium {
  connect(host: string, options: HostOptions): void;
  /** @throws INTERNAL when either host was never connected */
  channel(fromHost: string, toHost: string): Channel;
  partition(a: string, b: string): void;
  /** Ends a partition; what was under way goes on. */
  heal(a: string, b: string): void;
  partitioned(a: string, b: string): boolean;
}

interface Wire {
  readonly bytesPerMs: number;
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
  const held = new Map<string, (() => void)[]>();

  const unlessPartitioned = (a: string, b: string, action: () => void): void => {
    const key = pairKey(a, b);
    if (!partitions.has(key)) action();
    else held.set(key, [...(held.get(key) ?? []), action]);
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
          const earliestMs = sentMs + latencyMs + (jitterMs === 0 ? 0 : rng.float() * jitterMs);
          // The downlink takes bytes as they come: only what it cannot keep up with adds time.
          const receivedMs =
            bytes === 0 ? earliestMs : Math.max(earliestMs, occupy(receiver, now + latencyMs, bytes));
          lastArrivalMs = Math.max(receivedMs, lastArrivalMs);
          if (sent !== undefined) clock.after(sentMs - now, () => unlessPartitioned(fromHost, toHost, sent));
          clock.after(lastArrivalMs - now, () => unlessPartitioned(fromHost, toHost, arrive));
        },
      };
    },
    connect(host, hostOptions) {
      up.set(host, createWire(hostOptions.upBytesPerSecond));
      down.set(host, createWire(hostOptions.downBytesPerSecond));
    },
    partition: (a, b) => void partitions.add(pairKey(a, b)),
    heal(a, b) {
      const key = pairKey(a, b);
      partitions.delete(key);
      const actions = held.get(key) ?? [];
      held.delete(key);
      for (const action of actions) action();
    },
    partitioned: (a, b) => partitions.has(pairKey(a, b)),
  };
}

function createWire(bytesPerSecond = Number.POSITIVE_INFINITY): Wire {
  return { bytesPerMs: bytesPerSecond / 1000, freeAtMs: 0 };
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
