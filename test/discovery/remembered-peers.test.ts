import t from 'tap';
import type { PeerInfo, Role } from '../../lib/core/node.ts';
import { MAX_REMEMBERED, RememberedPeers } from '../../lib/discovery/remembered-peers.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';

const peer = (n: number, role: Role = 'node'): PeerInfo => ({
  ...{ id: n.toString(16).padStart(40, '0'), role, host: `10.0.0.${n}`, port: 65_002, zone: '' },
});
const setUp = () => ({ disk: createMemoryDisk(), clock: new FakeClock(), log: silentLog() });
const numbers = (peers: readonly PeerInfo[]): number[] => peers.map(({ id }) => Number.parseInt(id, 16));

t.test('peers are there after a restart, the latest first', async (t) => {
  const deps = setUp();
  const before = await RememberedPeers.load(deps, '/data');
  t.same(before.all, []);
  before.note([peer(1), peer(2, 'supernode'), peer(3)]);
  before.note([peer(1)]);
  before.note([{ ...peer(9), host: '' }]);
  await before.close();
  const after = await RememberedPeers.load(deps, '/data');
  t.same(numbers(after.all), [1, 3, 2], 'and nobody whose address is unknown');
  t.same(numbers(after.supernodes), [2]);
});

t.test('news is written in time without a close, once for many', async (t) => {
  const deps = setUp();
  const peers = await RememberedPeers.load(deps, '/data');
  for (let n = 1; n < 10; n++) peers.note([peer(n)]);
  t.equal(deps.clock.pending, 1, 'one write for all');
  while (deps.clock.advanceToNext());
  await peers.close();
  t.equal((await RememberedPeers.load(deps, '/data')).all.length, 9);
  peers.note([peer(3)]);
  t.equal(deps.clock.pending, 0, 'who is known already is no news');
});

t.test('as many as may be, and supernodes are the last to go', async (t) => {
  const deps = setUp();
  const peers = await RememberedPeers.load(deps, '/data');
  peers.note([peer(201, 'supernode')]);
  for (let n = 1; n <= 100; n++) peers.note([peer(n)]);
  t.equal(peers.all.length, MAX_REMEMBERED);
  t.same(numbers(peers.supernodes), [201]);
  t.equal(numbers(peers.all)[0], 100);
  peers.note(Array.from({ length: 100 }, (_, n) => peer(201 + n, 'supernode')));
  t.equal(peers.all.length, MAX_REMEMBERED);
  t.equal(peers.supernodes.length, 16);
});

t.test('what cannot be read is forgotten, what is no peer is left out', async (t) => {
  const deps = setUp();
  await deps.disk.writeText('/data/peers.json', 'no json');
  t.same((await RememberedPeers.load(deps, '/data')).all, []);
  const wrong = [null, {}, { ...peer(1), port: '1' }, { ...peer(1), id: 'x' }, { ...peer(1), role: 'x' }];
  await deps.disk.writeText('/data/peers.json', JSON.stringify([...wrong, peer(2)]));
  t.same(numbers((await RememberedPeers.load(deps, '/data')).all), [2]);
  await deps.disk.writeText('/data/peers.json', '{}');
  t.same((await RememberedPeers.load(deps, '/data')).all, []);
});
