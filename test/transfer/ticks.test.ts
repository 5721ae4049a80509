import t from 'tap';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Ticks } from '../../lib/transfer/ticks.ts';

function setUp() {
  const clock = new FakeClock();
  /** How long the process has stood still in all. */
  const pause = { ms: 0 };
  const paused = { now: () => clock.now() + pause.ms, after: clock.after.bind(clock) };
  const ticked: number[] = [];
  const stoodStillMs: number[] = [];
  const state = { idle: false };
  const ticks = new Ticks(paused, {
    isIdle: () => state.idle,
    tick: (stillMs) => {
      ticked.push(clock.now());
      stoodStillMs.push(stillMs);
    },
  });
  ticks.start();
  const run = (untilMs: number): number[] => {
    ticked.length = 0;
    while (clock.advanceToNext(untilMs));
    return ticked;
  };
  return { clock, pause, run, state, stoodStillMs, ticks };
}

t.test('an engine with something to do ticks every 50 ms, an idle one every second', async (t) => {
  const { run, state } = setUp();
  t.same(run(200), [50, 100, 150, 200]);
  state.idle = true;
  t.same(run(3300), [250, 1250, 2250, 3250]);
});

t.test('who is woken ticks within 50 ms, and goes on so', async (t) => {
  const { clock, run, state, ticks } = setUp();
  state.idle = true;
  run(1100);
  state.idle = false;
  ticks.wake();
  const wokenMs = clock.now();
  t.same(run(wokenMs + 100), [wokenMs + 50, wokenMs + 100]);
  ticks.wake();
  t.same(run(wokenMs + 200), [wokenMs + 150, wokenMs + 200], 'who is awake is not woken twice');
});

t.test('a pause of the process is told, the long way between idle ticks is none', async (t) => {
  const { pause, run, state, stoodStillMs } = setUp();
  run(100);
  pause.ms = 1000;
  run(200);
  t.same(stoodStillMs, [0, 0, 950, 0], 'a tick later than the next one was due');
  state.idle = true;
  run(5000);
  t.ok(stoodStillMs.slice(4).every((ms) => ms === 0));
});

t.test('after the stop nothing ticks, and nothing wakes it', async (t) => {
  const { clock, run, state, ticks } = setUp();
  state.idle = true;
  run(100);
  ticks.stop();
  ticks.wake();
  t.same(run(5000), []);
  t.equal(clock.pending, 0);
});
