import { pino } from 'pino';
import type { Test } from 'tap';
import type { Digest } from '../../lib/core/digest.ts';
import type { LeaseAnswer, LeaseWish } from '../../lib/core/lease.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { createTracker } from '../../tracker/tracker.ts';
import { layer } from './control-rig.ts';

const DEADLINE_MS = 15_000;
const deps = { clock: createSystemClock(), rng: createSystemRng() };
let ports = 20_000;

export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const startedMs = deps.clock.now();
  while (!(await condition())) {
    if (deps.clock.now() - startedMs > DEADLINE_MS) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const isShared = async (office: Office): Promise<boolean> =>
  /^damselfly_tracker_peer_store_up\{store="redis"\} 1$/m.test(await office.get('/metrics'));

/** A tracker, and members that know it alone. */
export async function startOffice(t: Test, peerStore?: string, logLines?: string[], host = '127.0.0.1') {
  const log =
    logLines === undefined
      ? silentLog()
      : pino({ level: 'debug' }, { write: (line: string) => void logLines.push(line) });
  const tracker = await createTracker(
    { ...deps, log },
    {
      listen: { host, port: 0 },
      httpListen: { host: '127.0.0.1', port: 0 },
      processMetrics: false,
      peerStore,
    },
  );
  t.teardown(() => tracker.close());
  const at = `127.0.0.1:${tracker.controlAddress.port}`;
  const get = async (path: string): Promise<string> => (await fetch(`http://${at}${path}`)).text();
  /** Joins this tracker, and others when they are given. */
  const join = async (name: string, role: Role = 'node', also: readonly string[] = [], reachedAt = at) => {
    const id = Buffer.from(name.padEnd(20, '.')).toString('hex');
    const peer: PeerInfo = { id, role, host: '127.0.0.1', port: ports++, zone: '' };
    const trackers = [`ws://${reachedAt}`, ...also];
    const discovery = createTrackerDiscovery({ ...deps, log: silentLog() }, { trackers, peer });
    t.teardown(() => discovery.close());
    const told = new Map<Digest, Set<string>>();
    const hosts = new Map<string, string>();
    discovery.listen({
      neighbours: (digest, peers) => {
        told.set(digest, new Set([...(told.get(digest) ?? []), ...peers.map((each) => each.id)]));
        for (const { host, id } of peers) hosts.set(id, host);
      },
      reachable: () => {},
    });
    await until(() => discovery.reachable, `${name} is connected`);
    return {
      peer,
      discovery,
      /** Whether the tracker has answered what it announced. */
      answered: (digest: Digest = layer(1)) => told.has(digest),
      /** Whether it was told of the other for the blob. */
      knows: (other: { readonly peer: PeerInfo }, digest: Digest = layer(1)) =>
        told.get(digest)?.has(other.peer.id) === true,
      /** At which host it was told that the other is. */
      hostOf: (other: { readonly peer: PeerInfo }) => hosts.get(other.peer.id),
      announce: (have: 'none' | 'some' | 'all', digest: Digest = layer(1)) =>
        discovery.announce([{ digest, size: 1000, have }]),
      ask: (change: Partial<LeaseWish> = {}) =>
        discovery.leases.ask({
          digest: layer(1),
          upstream: 'harbor.corp',
          stripes: [0],
          aside: false,
          ...change,
        }),
    };
  };
  return { tracker, url: `ws://${at}`, get, join };
}

export type Office = Awaited<ReturnType<typeof startOffice>>;
export type OfficeMember = Awaited<ReturnType<Office['join']>>;

export function granted(answer: LeaseAnswer | undefined): Extract<LeaseAnswer, { kind: 'granted' }> {
  if (answer?.kind !== 'granted') throw new Error(`not granted: ${JSON.stringify(answer)}`);
  return answer;
}

/** The lease as its holder names it to a tracker. */
export const refTo = (token: number) => ({ digest: layer(1), upstream: 'harbor.corp', aside: false, token });
