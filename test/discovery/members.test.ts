import t, { type Test } from 'tap';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import type { Dht } from '../../lib/discovery/libp2p/dht.ts';
import { Members, type SeedAddress } from '../../lib/discovery/libp2p/members.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';

type Way = 'answers' | 'refuses' | 'silent';

const unreachable = new DamselflyError('PEER_UNREACHABLE', 'nobody listens there');
const hostOf = (role: Role | undefined, at: number): string => `${role ?? 'bootstrap'}${at}`;

/** One process that looks for the DHT by way of these; @returns who was asked, in that order */
function createSeeker(t: Test, seeds: readonly SeedAddress[], way: (host: string) => Way) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const joined: string[] = [];
  const peer: PeerInfo = { id: '0f'.repeat(20), role: 'node', host: 'self', port: 1, zone: '' };
  const members = new Members(
    {
      ...{ clock, log: silentLog(), rng: createRng(3), seeds: () => seeds },
      locate: async ({ host }, signal) => {
        asked.push(host);
        if (way(host) === 'answers') return { member: host, port: 1 };
        if (way(host) === 'refuses') throw unreachable;
        return await new Promise((_, reject) => signal.addEventListener('abort', () => reject(unreachable)));
      },
    },
    { self: () => ({ peer }), heard() {}, reachable() {}, supernodesChanged() {} },
  );
  const dht: Dht = {
    door: { member: 'self', port: 1 },
    async join({ member }) {
      joined.push(member);
      members.connected(member);
    },
    ask: async (member) => ({
      host: member,
      message: { peer: { ...peer, id: 'ab'.repeat(20), host: member }, supernodes: [], shares: [] },
    }),
    provide: async () => {},
    forget: async () => {},
    async *find() {},
    addressOf: async () => undefined,
    close: async () => {},
  };
  const run = async (ms: number): Promise<void> => {
    const untilMs = clock.now() + ms;
    do await new Promise((resolve) => setImmediate(resolve));
    while (clock.advanceToNext(untilMs));
  };
  t.teardown(() => members.close());
  return { asked, joined, run, start: () => members.start(dht) };
}

const nodes = Array.from({ length: 9 }, (_, at) => ({
  host: hostOf('node', at),
  port: 1,
  role: 'node' as const,
}));
const supernodes = [0, 1].map((at) => ({
  host: hostOf('supernode', at),
  port: 1,
  role: 'supernode' as const,
}));

t.test('a supernode is asked for the way in, and no node loads libp2p for it', async (t) => {
  const { asked, joined, run, start } = createSeeker(t, [...nodes, ...supernodes], () => 'answers');
  start();
  await run(3000);
  t.same([...asked].sort(), ['supernode0', 'supernode1']);
  t.same(joined, asked);
});

t.test('nodes are asked at once where no supernode listens', async (t) => {
  const way = (host: string): Way => (host.startsWith('node') ? 'answers' : 'refuses');
  const { joined, run, start } = createSeeker(t, [...supernodes, ...nodes], way);
  start();
  await run(10);
  t.ok(joined.length >= 4, `${joined.length} joined`);
});

t.test('and soon where supernodes do not say a word', async (t) => {
  const way = (host: string): Way => (host.startsWith('node') ? 'answers' : 'silent');
  const { joined, run, start } = createSeeker(t, [...supernodes, ...nodes], way);
  start();
  await run(1000);
  t.same(joined, []);
  await run(1500);
  t.ok(joined.length > 0, `${joined.length} joined`);
});

t.test('whoever was named by hand is asked first too', async (t) => {
  const bootstrap = { host: hostOf(undefined, 0), port: 1 };
  const { asked, run, start } = createSeeker(t, [...nodes, bootstrap], () => 'answers');
  start();
  await run(3000);
  t.same(new Set(asked), new Set(['bootstrap0']));
});
