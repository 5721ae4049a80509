import t from 'tap';
import { createTrackerDiscovery } from '../../lib/discovery/tracker/tracker-discovery.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { layer, type Member, peerNamed, start, systemClock } from './control-rig.ts';

t.test('every announcement of what is incomplete is answered, were there nobody', async (t) => {
  const { join } = await start(t);
  const member = await join(peerNamed('first'));
  const announce = (n: number, have: 'none' | 'some' | 'all'): void =>
    member.send({ type: 'announce', blobs: [{ digest: layer(n), size: 1, have }] });
  announce(1, 'none');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(1), peers: [] }]);
  announce(1, 'some');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(1), peers: [] }], 'each time');
  announce(2, 'all');
  announce(3, 'none');
  t.same((await member.next('neighbours')).blobs, [{ digest: layer(3), peers: [] }], 'who has all gets none');
});

t.test('a burst keeps neither heartbeats waiting nor those who are sent to newcomers', async (t) => {
  const clock = new FakeClock();
  const { join } = await start(t, clock);
  await join(peerNamed('supernode', 'supernode'));
  const [crowd, newcomer] = [await join(peerNamed('crowd')), await join(peerNamed('newcomer'))];
  const blobs = (count: number, have: 'none' | 'some') =>
    Array.from({ length: count }, (_, n) => ({ digest: layer(n), size: 1, have }));
  crowd.send({ type: 'announce', blobs: blobs(1000, 'some') });
  crowd.send({ type: 'heartbeat' });
  const answered = async (member: Member, count: number): Promise<void> => {
    for (let left = count; left > 0; ) left -= (await member.next('neighbours')).blobs.length;
  };
  t.equal(
    (await crowd.next('neighbours')).blobs.length,
    1,
    'the first newcomer is told of its first blob at once',
  );
  await crowd.next('heartbeat');
  newcomer.send({ type: 'announce', blobs: blobs(20, 'none') });
  newcomer.send({ type: 'heartbeat' });
  await newcomer.next('heartbeat');
  t.ok(crowd.quiet && newcomer.quiet, 'nothing else has been sent: no time has passed');
  const other = await join(peerNamed('other'));
  other.send({ type: 'announce', blobs: blobs(1, 'none') });
  const told = (await other.next('neighbours')).blobs[0]!.peers.map(({ id }) => id);
  t.ok(
    told.includes(peerNamed('newcomer').id),
    'another one is sent to the newcomer that waits for its answer',
  );
  while (clock.now() === 0 && clock.advanceToNext(0));
  const [first, ...rest] = (await newcomer.next('neighbours')).blobs;
  t.equal(rest.length, 19, 'which is a whole one');
  t.ok(
    first!.peers.some(({ id }) => id === peerNamed('other').id),
    'and names those who were sent to it',
  );
  await answered(crowd, 999);
});

t.test('2,000 nodes announce an image of 20 layers', { timeout: 120_000 }, async (t) => {
  const NODES = 2000;
  const LAYERS = 20;
  const { url, join } = await start(t);
  await join(peerNamed('supernode', 'supernode'));
  const deps = { log: silentLog(), clock: systemClock, rng: createRng(9) };
  let connected = 0;
  let answered = 0;
  let allConnected = (): void => {};
  let allAnswered = (): void => {};
  const everyConnection = new Promise<void>((resolve) => {
    allConnected = resolve;
  });
  const everyAnswer = new Promise<void>((resolve) => {
    allAnswered = resolve;
  });
  const nodes = Array.from({ length: NODES }, (_, n) => {
    const node = createTrackerDiscovery(deps, { trackers: [url], peer: peerNamed(`node ${n}`) });
    const waiting = new Set(Array.from({ length: LAYERS }, (_, n) => layer(n)));
    node.listen({
      reachable: () => void (++connected === NODES && allConnected()),
      neighbours: (digest) => void (waiting.delete(digest) && ++answered === NODES * LAYERS && allAnswered()),
    });
    return node;
  });
  t.teardown(() => Promise.all(nodes.map((node) => node.close())));
  const dialledMs = systemClock.now();
  await everyConnection;
  const announcedMs = systemClock.now();
  const blobs = Array.from({ length: LAYERS }, (_, n) => ({
    digest: layer(n),
    size: 1000,
    have: 'none' as const,
  }));
  for (const node of nodes) node.announce(blobs);
  await everyAnswer;
  t.equal(answered, NODES * LAYERS);
  const seconds = (ms: number): string => (ms / 1000).toFixed(2);
  t.comment(
    `${NODES} connections in ${seconds(announcedMs - dialledMs)} s, ${answered} announcements answered in ` +
      `${seconds(systemClock.now() - announcedMs)} s, both sides in this process`,
  );
});
