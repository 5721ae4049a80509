import { DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rng } from '../../runtime/rng.ts';
import type { PeerNetwork } from '../seams.ts';
import type { MemoryServer } from './memory-fetch.ts';
import { createHostNetwork, createMemoryHost, type LinkConnection, type MemoryHost } from './memory-host.ts';
import {
  createMemoryMedium,
  type HostOptions,
  type MediumOptions,
  pairKey,
  type Trouble,
} from './memory-medium.ts';

/** As the pings of real links. */
const LINK_SILENCE_MS = 5000;

export interface MemoryNetworkOptions extends MediumOptions {
  /** After so much silence a link is closed. @default 5000 */
  readonly linkSilenceMs?: number;
}

/**
 * Hosts in one process on a network made of timers, with faults on demand: the twin of the HTTP peer network. What a
 * handler or listener throws comes out of the timer that called it, so that tests see it.
 */
export interface MemoryNetwork {
  /** The network as the host of that name sees it. Calling again, as after a crash, gives a fresh one. */
  host(name: string, options?: HostOptions): PeerNetwork;
  /** The host is gone: links, transfers and listeners fail, and nothing reaches it until {@link MemoryNetwork.heal}. */
  crash(host: string): void;
  /** The pieces that the host sends stop midway, while its links go on. */
  stall(host: string): void;
  /** A bit of every piece that the host sends is flipped. */
  corrupt(host: string): void;
  /** The process on the host stands still: what comes in waits, and links close at the other end after some silence. */
  freeze(host: string): void;
  /** Ends a freeze. */
  thaw(host: string): void;
  /** The way between the two is slow or loses messages; undefined: as good as any. */
  trouble(a: string, b: string, trouble: Trouble | undefined): void;
  /** Nobody can connect to the host from now on, as behind a firewall that drops who comes; it can connect to others. */
  refuseDials(host: string, refuses: boolean): void;
  /** What the host can send and receive from now on. */
  setRates(host: string, options: HostOptions): void;
  /** Nothing passes between the two: transfers hang, links close after some silence. */
  partition(a: string, b: string): void;
  /** Ends every fault of the host, or the partition between the two. Listeners lost in a crash stay lost. */
  heal(host: string, other?: string): void;
}

/** With a FakeClock and a seeded Rng the same calls give the same run, to the millisecond. */
export function createMemoryNetwork(
  deps: { readonly clock: Clock; readonly rng: Rng },
  options: MemoryNetworkOptions = {},
): MemoryNetwork {
  const { clock, rng } = deps;
  const { linkSilenceMs = LINK_SILENCE_MS } = options;
  const medium = createMemoryMedium(deps, options);
  const hosts = new Map<string, MemoryHost>();
  const cancelSilence = new Map<string, () => void>();

  const hostOf = (name: string): MemoryHost => {
    const host = hosts.get(name);
    if (host === undefined) throw new DamselflyError('INTERNAL', `no host ${name} on this network`);
    return host;
  };

  const serverAt = (host: MemoryHost, port: number): MemoryServer => ({
    host: host.name,
    handlers: () => host.listeners.get(port),
    whenFlowing(action) {
      if (host.stalled === undefined) action();
      else host.stalled.push(action);
    },
    spoil(chunk) {
      if (!host.corrupt) return;
      const at = rng.int(chunk.length);
      chunk[at] = (chunk[at] ?? 0) ^ (1 << rng.int(8));
    },
  });

  const cutLinks = (links: Iterable<LinkConnection>, reason: string): void => {
    for (const { pair } of links) pair.cut(reason);
  };

  return {
    host(name, hostOptions = {}) {
      medium.connect(name, hostOptions);
      const host = hosts.get(name) ?? createMemoryHost(name, clock);
      host.member = hostOptions.member;
      hosts.set(name, host);
      return createHostNetwork(host, { clock, medium, hosts, serverAt });
    },
    crash(name) {
      const host = hostOf(name);
      host.crashed = true;
      host.listeners.clear();
      const error = new DamselflyError('PEER_UNREACHABLE', `host ${name} crashed`);
      for (const { fetch } of [...host.fetches]) fetch.settle(error);
      for (const giveUp of [...host.dials]) giveUp(error);
      cutLinks([...host.links], 'the host crashed');
    },
    stall(name) {
      hostOf(name).stalled ??= [];
    },
    corrupt(name) {
      hostOf(name).corrupt = true;
    },
    freeze(name) {
      if (medium.frozen(name)) return;
      medium.freeze(name);
      const cancel = clock.after(linkSilenceMs, () => cutLinks([...hostOf(name).links], 'no sign of life'));
      cancelSilence.set(name, cancel);
    },
    thaw(name) {
      cancelSilence.get(name)?.();
      medium.thaw(name);
    },
    trouble: (a, b, trouble) => medium.trouble(a, b, trouble),
    refuseDials(name, refuses) {
      hostOf(name).closedToDials = refuses;
    },
    setRates: (name, hostOptions) => medium.setRates(name, hostOptions),
    partition(a, b) {
      if (medium.partitioned(a, b)) return;
      medium.partition(a, b);
      const cancel = clock.after(linkSilenceMs, () => {
        const between = [...hostOf(a).links].filter(
          ({ dialler, acceptor }) => dialler === b || acceptor === b,
        );
        cutLinks(between, 'no sign of life');
      });
      cancelSilence.set(pairKey(a, b), cancel);
    },
    heal(name, other) {
      if (other !== undefined) {
        cancelSilence.get(pairKey(name, other))?.();
        medium.heal(name, other);
        return;
      }
      const host = hostOf(name);
      host.crashed = false;
      host.corrupt = false;
      const waiting = host.stalled ?? [];
      host.stalled = undefined;
      for (const action of waiting) action();
    },
  };
}
