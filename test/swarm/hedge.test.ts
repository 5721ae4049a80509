import t from 'tap';
import { SlowSwarm } from '../../lib/swarm/hedge.ts';

const STEP_MS = 50;
const MIB = 1024 * 1024;

/** How often the swarm was found too slow in 20 s at these rates, bytes a second. */
function found(swarm: number, registry: number, clientsWait: (ms: number) => boolean = () => true): number {
  const watch = new SlowSwarm();
  let times = 0;
  for (let ms = 0; ms < 20_000; ms += STEP_MS) {
    const seen = { receivedBytes: (swarm * ms) / 1000, registryBytesPerSecond: registry };
    if (watch.look(ms, { clientsWait: clientsWait(ms), ...seen })) times++;
  }
  return times;
}

t.test('a swarm that gives less than a quarter of what the registry would is too slow', async (t) => {
  t.equal(found(2 * MIB, 10 * MIB), 4, 'every four seconds');
  t.equal(found(0, 10 * MIB), 4);
  t.equal(found(3 * MIB, 10 * MIB), 0);
  t.equal(found(100 * MIB, 10 * MIB), 0);
});

t.test('a registry that was never read is not known to be faster', async (t) => {
  t.equal(found(1, 0), 0);
  t.equal(found(0, 512 * 1024), 0, 'of which there were a few pieces');
});

t.test('time in which the process itself stood still does not count', async (t) => {
  const watch = new SlowSwarm();
  const seen = { clientsWait: true, registryBytesPerSecond: 10 * MIB };
  const look = (ms: number): boolean => watch.look(ms, { ...seen, receivedBytes: ms < 4000 ? 0 : MIB });
  for (let ms = 0; ms <= 2000; ms += STEP_MS) t.notOk(look(ms));
  for (let ms = 5000; ms < 6900; ms += STEP_MS) t.notOk(look(ms), `${ms}`);
  t.ok([6900, 6950, 7000, 7050].some(look), 'two seconds before, and two after it');
});

t.test('only time in which clients wait counts', async (t) => {
  t.equal(
    found(MIB, 10 * MIB, (ms) => ms % 4000 < 3900),
    0,
  );
  t.equal(
    found(MIB, 10 * MIB, (ms) => ms > 10_000),
    2,
  );
});
