import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { clusterKeys } from '../../lib/discovery/libp2p/cluster-keys.ts';
import type { Dht, DhtListener, MemberId } from '../../lib/discovery/libp2p/dht.ts';
import { type Libp2pDhtOptions, openLibp2pDht } from '../../lib/discovery/libp2p/libp2p-dht.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { MemberAnswer, MemberQuestion } from '../../lib/wire/member-codec.ts';

const DEADLINE_MS = 25_000;
const deps = { log: silentLog(), clock: createSystemClock() };
const keys = clusterKeys('the key of our cluster');
const peer = { id: 'ab'.repeat(20), role: 'node' as const, host: '', port: 65_002, zone: '' };
const answer: MemberAnswer = { peer, shares: [], supernodes: [] };
const question: MemberQuestion = { peer, keys: [], supernodes: [] };
const layer = keys.blob(digestOf(Buffer.from('layer')));

async function open(t: Test, options: Partial<Libp2pDhtOptions> = {}, listener: Partial<DhtListener> = {}) {
  const connected = new Set<MemberId>();
  const dht = await openLibp2pDht(
    deps,
    { keys, listen: { host: '127.0.0.1', port: 0 }, lan: false, maxConnections: 50, ...options },
    {
      asked: async () => answer,
      connected: (member) => void connected.add(member),
      disconnected: (member) => void connected.delete(member),
      ...listener,
    },
  );
  t.teardown(() => dht.close());
  return { dht, connected };
}

const signal = (ms = DEADLINE_MS): AbortSignal => AbortSignal.timeout(ms);
const joinTo = (dht: Dht, other: Dht, ms?: number): Promise<void> =>
  dht.join({ ...other.door, host: '127.0.0.1' }, signal(ms));

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function find(dht: Dht, key: string): Promise<MemberId[]> {
  const found: MemberId[] = [];
  for await (const member of dht.find(key, signal())) found.push(member);
  return found;
}

t.test('who provides a blob is found by way of others, and asked', async (t) => {
  const [a, b, c] = [await open(t), await open(t), await open(t)];
  await joinTo(a.dht, b.dht);
  await joinTo(c.dht, b.dht);
  await until(() => b.connected.size === 2, 'both are connected with the one in the middle');
  t.same(await find(c.dht, layer), [], 'nobody provides it');
  await a.dht.provide(layer, signal());
  t.same(await find(c.dht, layer), [a.dht.door.member]);
  t.same(await find(a.dht, layer), [], 'nobody is told of itself');
  const heard = await c.dht.ask(a.dht.door.member, question, signal());
  t.same(heard, { message: answer, host: '127.0.0.1' });
  t.same(await c.dht.addressOf(a.dht.door.member), { ...a.dht.door, host: '127.0.0.1' });
  await a.dht.close();
  await t.rejects(c.dht.ask(a.dht.door.member, question, signal()), { code: 'PEER_UNREACHABLE' });
});

t.test('a member that fails to answer, or answers nonsense, is as good as none', async (t) => {
  const silent = await open(t, {}, { asked: () => new Promise(() => {}) });
  const broken = await open(t, {}, { asked: () => Promise.reject(new Error('a bug')) });
  const wrong = await open(t, {}, { asked: async () => ({ ...answer, shares: ['no key'] }) });
  const { dht } = await open(t);
  for (const other of [silent, broken, wrong]) await joinTo(dht, other.dht);
  const ask = (other: { readonly dht: Dht }): Promise<unknown> =>
    dht.ask(other.dht.door.member, question, signal(500));
  await t.rejects(ask(silent), { code: 'ABORTED' });
  await t.rejects(ask(broken), { code: 'PEER_UNREACHABLE' });
  await t.rejects(ask(wrong), { code: 'PEER_PROTOCOL' });
});

t.test('who has another key stays outside', async (t) => {
  const inside = await open(t);
  const outside = await open(t, { keys: clusterKeys('the key of another cluster') });
  await t.rejects(joinTo(outside.dht, inside.dht, 3000));
  t.equal(inside.connected.size, 0);
});

t.test('keys tell nothing of digests, and differ from cluster to cluster', async (t) => {
  const digest = digestOf(Buffer.from('layer'));
  const other = clusterKeys('the key of another cluster');
  t.match(layer, /^[0-9a-f]{64}$/);
  t.equal(keys.blob(digest), layer, 'the same for everybody inside');
  t.not(other.blob(digest), layer);
  t.notOk(digest.includes(layer));
  t.not(keys.supernodes, other.supernodes);
  t.not(keys.lanService, other.lanService);
  t.match(keys.lanService, /^_dfly-[0-9a-f]{8}\._udp\.local$/);
  t.notSame(keys.network, other.network);
});

t.test(
  'members of one LAN find each other, those of another cluster they do not',
  { skip: process.getuid?.() === 0 ? false : 'a LAN of its own takes root' },
  async (t) => {
    const main = join(import.meta.dirname, 'fixtures', 'lan-main.ts');
    const script = [
      'ip link set lo up',
      'ip link add lan type veth peer name far',
      'ip link set far up',
      'ip addr add 10.77.0.1/24 dev lan',
      'ip link set lan up multicast on',
      // Multicasts leave by the interface of the default route.
      'ip route add default dev lan',
      'exec "$0" "$1"',
    ].join(' && ');
    const run = promisify(execFile);
    const args = ['--net', 'sh', '-c', script, process.execPath, main];
    const { stdout } = await run('unshare', args, { timeout: DEADLINE_MS });
    t.same(JSON.parse(stdout), [[1], [0], []]);
  },
);

t.test('a port that is taken', async (t) => {
  const { dht } = await open(t);
  const listen = { host: '127.0.0.1', port: dht.door.port };
  await t.rejects(open(t, { listen }), { code: 'CONFIG_INVALID' });
});
