import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { PullMeter } from '../../lib/transfer/clients/pull-meter.ts';
import { Limits } from '../../lib/transfer/limits.ts';

const MB = 1e6;

function setUp() {
  const clock = new FakeClock();
  const limits = new Limits(clock);
  /** Bytes come in at a rate for so long. */
  const receive = (
    bytesPerSecond: number,
    forMs: number,
    kind: 'download' | 'registry' = 'download',
  ): void => {
    for (let step = 0; step < forMs / 10; step++) {
      clock.advanceToNext(clock.now() + 10);
      void limits[kind].take(bytesPerSecond / 100);
    }
  };
  const pass = (ms: number): void => void clock.advanceToNext(clock.now() + ms);
  return { clock, limits, receive, pass };
}

t.test('a pull at the best rate that the node ever saw is at its limit', async (t) => {
  const { clock, limits, receive } = setUp();
  const meter = new PullMeter(clock, limits);
  meter.comesIn(0, () => 0);
  receive(100 * MB, 5000);
  meter.handed(500 * MB);
  t.ok(meter.efficiency > 0.97, `${meter.efficiency}`);
});

t.test('half the rate of another pull before is half the limit', async (t) => {
  const { clock, limits, receive } = setUp();
  receive(100 * MB, 2000);
  const meter = new PullMeter(clock, limits);
  meter.comesIn(0, () => 0);
  receive(50 * MB, 4000);
  meter.handed(200 * MB);
  t.ok(Math.abs(meter.efficiency - 0.5) < 0.02, `${meter.efficiency}`);
});

t.test('what was here already did not have to come', async (t) => {
  const { clock, limits, receive } = setUp();
  const meter = new PullMeter(clock, limits);
  meter.comesIn(100 * MB, () => 0);
  receive(100 * MB, 1000);
  receive(0, 1000);
  meter.handed(200 * MB);
  t.ok(Math.abs(meter.efficiency - 0.5) < 0.02, `${meter.efficiency}`);
});

t.test('what only the registry had could not come faster than it gave', async (t) => {
  const { clock, limits, receive } = setUp();
  receive(100 * MB, 2000);
  const meter = new PullMeter(clock, limits);
  let read = 7 * MB;
  meter.comesIn(0, () => read);
  receive(10 * MB, 4000, 'registry');
  read += 40 * MB;
  meter.handed(40 * MB);
  t.ok(meter.efficiency > 0.97, `${meter.efficiency}`);
});

t.test('a slow client is no fault of ours; what it waits for is', async (t) => {
  const { clock, limits, pass } = setUp();
  const meter = new PullMeter(clock, limits);
  for (let chunk = 0; chunk < 10; chunk++) {
    pass(25);
    meter.handed(MB);
    pass(75);
    meter.taken();
  }
  t.equal(meter.efficiency, 0.75, 'of a blob that was here');
});
