import { abortedError, DamselflyError } from '../../core/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CapabilityAnswer } from '../../wire/capability-codec.ts';
import type { Address, PeerMember, PeerNetwork, PeerServerHandlers, SmallBlobsAnswer } from '../seams.ts';
import { startMemoryCapability } from './memory-capability.ts';
import { type MemoryFetch, type MemoryServer, startMemoryFetch } from './memory-fetch.ts';
import { createMemoryLinkPair, type LinkPair } from './memory-link.ts';
import type { MemoryMedium } from './memory-medium.ts';
import { MemoryReversals } from './memory-reverse.ts';
import { startMemorySmallBlobs } from './memory-small-blobs.ts';

/** As over TCP: an address that does not answer is given up after this. */
const CONNECT_TIMEOUT_MS = 2000;
/** How long a listener that closes lets transfers run. */
const CLOSE_GRACE_MS = 2000;
const FIRST_PORT = 40_000;

/** A connection of either kind, known to both hosts. */
interface Connection {
  readonly dialler: string;
  readonly acceptor: string;
  readonly port: number;
}
export interface LinkConnection extends Connection {
  readonly pair: LinkPair;
}
interface FetchConnection extends Connection {
  readonly fetch: MemoryFetch;
  readonly ended: Promise<void>;
}

/** What is true of a host at the moment, whoever asks. */
export interface MemoryHost {
  readonly name: string;
  readonly listeners: Map<number, PeerServerHandlers>;
  readonly links: Set<LinkConnection>;
  readonly fetches: Set<FetchConnection>;
  /** What gives up each link that it is about to have, as dialler. */
  readonly dials: Set<(error: DamselflyError) => void>;
  member: PeerMember | undefined;
  /** Nobody can connect to it. */
  closedToDials: boolean;
  /** Of those that its processes cannot dial. */
  readonly reversals: MemoryReversals;
  nextPort: number;
  crashed: boolean;
  corrupt: boolean;
  /** What waits for the end of a stall; undefined while bytes flow. */
  stalled: (() => void)[] | undefined;
}

export function createMemoryHost(name: string, clock: Clock): MemoryHost {
  return {
    name,
    listeners: new Map(),
    links: new Set(),
    fetches: new Set(),
    dials: new Set(),
    member: undefined,
    closedToDials: false,
    reversals: new MemoryReversals(clock),
    nextPort: FIRST_PORT,
    crashed: false,
    corrupt: false,
    stalled: undefined,
  };
}

export interface HostNetworkDeps {
  readonly clock: Clock;
  readonly medium: MemoryMedium;
  readonly hosts: ReadonlyMap<string, MemoryHost>;
  /** How a host serves pieces on a port, faults included. */
  serverAt(host: MemoryHost, port: number): MemoryServer;
}

/** The peer network as `self` sees it. */
export function createHostNetwork(self: MemoryHost, deps: HostNetworkDeps): PeerNetwork {
  const { clock, medium, hosts } = deps;
  const ownFetches = new Set<MemoryFetch>();
  const dialled = new Set<LinkPair>();
  let closed = false;

  /**
   * The host at the address; undefined, after `reject` was told in its own time, when nothing can pass.
   * @param connected by itself, so that it need not be dialled
   */
  const reach = (
    to: Address,
    signal: AbortSignal,
    reject: (error: DamselflyError) => void,
    connected = false,
  ): MemoryHost | undefined => {
    if (signal.aborted) throw abortedError(signal);
    if (closed) throw unreachable('the network is closed');
    const target = hosts.get(to.host);
    const dropped = target?.closedToDials === true && !connected;
    const partitioned = dropped || medium.partitioned(self.name, to.host);
    if (target !== undefined && !self.crashed && !partitioned) return target;
    const onAbort = (): void => {
      cancel();
      reject(abortedError(signal));
    };
    const cancel = clock.after(partitioned ? CONNECT_TIMEOUT_MS : 0, () => {
      signal.removeEventListener('abort', onAbort);
      reject(unreachable('no answer'));
    });
    signal.addEventListener('abort', onAbort, { once: true });
    return undefined;
  };

  const closeListener = async (port: number): Promise<void> => {
    for (const link of [...self.links]) {
      if (link.acceptor === self.name && link.port === port) link.pair.acceptor.close('shutting down');
    }
    const uploads = [...self.fetches].filter((entry) => entry.acceptor === self.name && entry.port === port);
    const cancelGrace = clock.after(CLOSE_GRACE_MS, () => {
      for (const { fetch } of uploads) fetch.settle(unreachable('the peer shut down'));
    });
    await Promise.all(uploads.map((upload) => upload.ended));
    cancelGrace();
  };

  /** Something that goes on between us and a peer, until it is done or either host is gone. */
  const exchange = (
    address: Address,
    signal: AbortSignal,
    start: (
      hosts: { readonly from: string; readonly server: MemoryServer },
      settled: (error: DamselflyError | undefined) => void,
    ) => MemoryFetch,
    connected = false,
  ): Promise<void> =>
    new Promise((resolve, reject) => {
      const target = reach(address, signal, reject, connected);
      if (target === undefined) return;
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const onAbort = (): void => fetch.settle(abortedError(signal));
      const server = deps.serverAt(target, address.port);
      const fetch = start({ from: self.name, server }, (error) => {
        signal.removeEventListener('abort', onAbort);
        ownFetches.delete(fetch);
        self.fetches.delete(entry);
        target.fetches.delete(entry);
        end();
        if (error === undefined) resolve();
        else reject(error);
      });
      const entry = { dialler: self.name, acceptor: target.name, port: address.port, fetch, ended };
      ownFetches.add(fetch);
      self.fetches.add(entry);
      target.fetches.add(entry);
      signal.addEventListener('abort', onAbort, { once: true });
    });

  return {
    async fetch(request, into, { signal, onProgress, pace, reverse }) {
      const { address, range } = request;
      if (into.length !== range.end - range.start || into.length === 0) {
        throw new DamselflyError('INTERNAL', `${into.length} bytes of memory for another range`);
      }
      const connects = reverse !== undefined && hosts.get(address.host)?.closedToDials === true;
      if (connects) await self.reversals.wait(reverse, signal);
      await exchange(
        address,
        signal,
        (hosts, settled) => startMemoryFetch(hosts, deps, { request, into, onProgress, pace }, settled),
        connects,
      );
    },

    connectBack({ address, from }, { signal }) {
      return new Promise((resolve, reject) => {
        const target = reach(address, signal, reject);
        if (target === undefined) return;
        if (self.listeners.size === 0) throw unreachable('we do not listen');
        medium.channel(self.name, target.name).carry(0, () => {
          if (signal.aborted) reject(abortedError(signal));
          else if (target.reversals.take(from)) resolve();
          else reject(unreachable('it waits for no connection'));
        });
      });
    },

    async fetchSmall(request, { signal }) {
      let received: SmallBlobsAnswer = [];
      await exchange(request.address, signal, (hosts, settled) =>
        startMemorySmallBlobs(
          { ...hosts, fingerprint: self.member?.fingerprint },
          deps,
          request,
          (error, answer) => {
            received = answer;
            settled(error);
          },
        ),
      );
      return received;
    },

    async askCapability({ address, question }, { signal, onSign }) {
      let received: CapabilityAnswer | undefined;
      await exchange(address, signal, (hosts, settled) =>
        startMemoryCapability(hosts, deps, { member: self.member, onSign, question }, (error, answer) => {
          received = answer;
          settled(error);
        }),
      );
      return received;
    },

    dial(address, { signal }) {
      return new Promise((resolve, reject) => {
        const target = reach(address, signal, reject);
        if (target === undefined) return;
        let over = false;
        const end = (): void => {
          over = true;
          self.dials.delete(giveUp);
          cancelTimeout();
          signal.removeEventListener('abort', onAbort);
        };
        const giveUp = (error: DamselflyError): void => {
          end();
          reject(error);
        };
        const onAbort = (): void => giveUp(abortedError(signal));
        const cancelTimeout = clock.after(CONNECT_TIMEOUT_MS, () => giveUp(unreachable('timed out')));
        signal.addEventListener('abort', onAbort, { once: true });
        self.dials.add(giveUp);
        medium.channel(self.name, target.name).carry(0, () => {
          if (over) return;
          const handlers = target.listeners.get(address.port);
          if (handlers === undefined || self.crashed || closed) {
            giveUp(unreachable('nobody listens there'));
            return;
          }
          end();
          const ends = { dialler: self.name, acceptor: target.name };
          const members = { dialler: self.member, acceptor: target.member };
          const pair = createMemoryLinkPair({ ...ends, members }, medium, () => {
            dialled.delete(pair);
            self.links.delete(entry);
            target.links.delete(entry);
          });
          const entry = { ...ends, port: address.port, pair };
          dialled.add(pair);
          self.links.add(entry);
          target.links.add(entry);
          handlers.link(pair.acceptor);
          resolve(pair.dialler);
        });
      });
    },

    async listen(address, handlers) {
      const port = address.port === 0 ? self.nextPort++ : address.port;
      if (self.listeners.has(port)) {
        throw new DamselflyError('CONFIG_INVALID', `cannot listen on ${self.name}:${port}: in use`);
      }
      self.listeners.set(port, handlers);
      let closing: Promise<void> | undefined;
      return {
        address: { host: self.name, port },
        close() {
          if (self.listeners.get(port) === handlers) self.listeners.delete(port);
          closing ??= closeListener(port);
          return closing;
        },
      };
    },

    async close() {
      closed = true;
      for (const fetch of [...ownFetches]) fetch.settle(unreachable('the network is closed'));
      for (const pair of [...dialled]) pair.dialler.close('closed');
    },
  };
}

function unreachable(why: string): DamselflyError {
  return new DamselflyError('PEER_UNREACHABLE', `the peer cannot be reached: ${why}`);
}
