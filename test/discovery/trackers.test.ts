import t, { type Test } from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { rendezvousOwner } from '../../lib/core/rendezvous.ts';
import type { Discovery } from '../../lib/discovery/discovery.ts';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { createSystemRng } from '../../lib/runtime/system-rng.ts';
import { createTracker, type Tracker } from '../../tracker/tracker.ts';
import { startTcpGate, type TcpGate } from '../helpers/tcp-gate.ts';

const TRACKERS = 3;
const NODES = 6;
const BLOBS = 30;
/** Everything is known again within this time once a tracker is back. */
const REBUILT_MS = 10_000;
const DEADLINE_MS = 20_000;
const deps = { log: silentLog(), clock: createSystemClock(), rng: createSystemRng() };
const blobs = Array.from({ length: BLOBS }, (_, n) => digestOf(Buffer.from(`layer ${n}`)));

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<number> {
  const startedMs = deps.clock.now();
  while (!(await condition())) {
    if (deps.clock.now() - startedMs > DEADLINE_MS) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return deps.clock.now() - startedMs;
}

/** Three equal trackers behind gates, and a cluster whose processes know all of them. */
async function setUp(t: Test) {
  const startTracker = (port = 0): Promise<Tracker> =>
    createTracker(deps, {
      listen: { host: '127.0.0.1', port },
      httpListen: { host: '127.0.0.1', port: 0 },
      processMetrics: false,
    });
  const trackers = await Promise.all(Array.from({ length: TRACKERS }, () => startTracker()));
  t.teardown(() => Promise.all(trackers.map((tracker) => tracker.close())));
  const urls = trackers.map(({ controlAddress }) => `ws://127.0.0.1:${controlAddress.port}`);
  const join = (name: string, role: Role, by = urls) => {
    const id = Buffer.from(name.padEnd(20, '.')).toString('hex');
    const peer: PeerInfo = { id, role, host: '127.0.0.1', port: 4000, zone: '' };
    const discovery = createTrackerDiscovery(deps, { trackers: by, peer });
    t.teardown(() => discovery.close());
    const told = new Map<Digest, Set<string>>(blobs.map((digest) => [digest, new Set()]));
    const reachable: boolean[] = [];
    discovery.listen({
      neighbours: (digest, peers) => peers.forEach((each) => told.get(digest)?.add(each.id)),
      reachable: (now) => void reachable.push(now),
    });
    return { discovery, id, told, reachable };
  };
  /** Blobs that somebody shares, as each tracker has it. */
  const swarms = (): Promise<number[]> =>
    Promise.all(
      urls.map(async (url) => {
        const response = await fetch(`${url.replace('ws', 'http')}/metrics`).catch(() => undefined);
        const text = (await response?.text()) ?? '';
        return Number(/^damselfly_tracker_swarms\{protocol="damselfly"[^}]*\} (\d+)/m.exec(text)?.[1] ?? 0);
      }),
    );
  /** How many blobs belong to each tracker of those that are `alive`. */
  const shares = (alive: readonly number[]): number[] => {
    const members = urls.map((url, index) => ({ id: `${url}/control`, index }));
    const living = members.filter(({ index }) => alive.includes(index));
    const owners = blobs.map((digest) => rendezvousOwner(digest, living)?.index);
    return urls.map((_, index) => owners.filter((owner) => owner === index).length);
  };
  return { trackers, urls, join, startTracker, swarms, shares };
}

const announce = (discovery: Discovery): void =>
  discovery.announce(blobs.map((digest) => ({ digest, size: 1000, have: 'some' as const })));

t.test('one of three is killed, and an empty one takes its place', async (t) => {
  const { join, shares, startTracker, swarms, trackers } = await setUp(t);
  const supernode = join('supernode', 'supernode');
  const nodes = Array.from({ length: NODES }, (_, n) => join(`node ${n}`, 'node'));
  for (const { discovery } of nodes) announce(discovery);
  const settled = async (alive: readonly number[]): Promise<boolean> =>
    (await swarms()).join() === shares(alive).join();
  await until(() => settled([0, 1, 2]), 'blobs are divided');
  t.ok(shares([0, 1, 2]).every((count) => count > 0));
  const port = trackers[1]!.controlAddress.port;
  await trackers[1]!.close();
  await until(() => settled([0, 2]), 'the others have its blobs');
  const late = join('late', 'node');
  announce(late.discovery);
  await until(() => [...late.told.values()].every((ids) => ids.size > 1), 'neighbours for all blobs');
  t.ok(
    [...late.told.values()].every((ids) => ids.has(supernode.id)),
    'and their supernode',
  );
  trackers[1] = await startTracker(port);
  const tookMs = await until(() => settled([0, 1, 2]), 'the empty one has its part again');
  t.ok(tookMs <= REBUILT_MS, `after ${Math.round(tookMs)} ms`);
  t.ok(
    nodes.every(({ reachable }) => reachable.join() === 'true'),
    'nobody was without a tracker',
  );
});

t.test('all of them are killed, and come back empty', async (t) => {
  const { join, shares, startTracker, swarms, trackers } = await setUp(t);
  const nodes = Array.from({ length: NODES }, (_, n) => join(`node ${n}`, 'node'));
  for (const { discovery } of nodes) announce(discovery);
  const all = async (): Promise<boolean> => (await swarms()).join() === shares([0, 1, 2]).join();
  await until(all, 'blobs are divided');
  await Promise.all(trackers.map((tracker) => tracker.close()));
  await until(() => nodes.every(({ discovery }) => !discovery.reachable), 'the loss is noticed');
  for (const [index, { controlAddress }] of trackers.entries()) {
    trackers[index] = await startTracker(controlAddress.port);
  }
  const tookMs = await until(all, 'all is known again');
  t.ok(tookMs <= REBUILT_MS, `after ${Math.round(tookMs)} ms`);
});

t.test('a node that is cut off from one of three goes on with the others, and comes back', async (t) => {
  const { join, swarms, urls } = await setUp(t);
  const gates: TcpGate[] = [];
  for (const url of urls) gates.push(await startTcpGate(Number(new URL(url).port)));
  t.teardown(() => Promise.all(gates.map((gate) => gate.close())));
  const supernode = join('supernode', 'supernode');
  // Its trackers have other names than those of the others: what they own it finds where they are.
  const cut = join(
    'cut',
    'node',
    gates.map(({ port }) => `ws://127.0.0.1:${port}`),
  );
  await until(() => cut.discovery.owner(blobs[0]!) !== undefined, 'connected');
  announce(cut.discovery);
  await until(() => [...cut.told.values()].every((ids) => ids.has(supernode.id)), 'all are answered');
  gates[2]!.open = false;
  for (const ids of cut.told.values()) ids.clear();
  await until(async () => (await swarms())[2] === 0, 'the tracker has forgotten it');
  announce(cut.discovery);
  await until(() => [...cut.told.values()].every((ids) => ids.has(supernode.id)), 'the others answer for it');
  gates[2]!.open = true;
  const tookMs = await until(async () => (await swarms())[2]! > 0, 'it is back');
  t.ok(tookMs <= REBUILT_MS, `after ${Math.round(tookMs)} ms`);
  t.same(cut.reachable, [true]);
});
