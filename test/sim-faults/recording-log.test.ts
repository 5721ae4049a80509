import t from 'tap';
import { pairKey } from '../../lib/transfer/memory/memory-medium.ts';
import { drawPlan } from './plan.ts';
import { CONTROL_PORT } from './surroundings.ts';
import { World } from './world.ts';

/** Longer than a tracker waits for a hello, shorter than the network believes in a silent connection. */
const WAIT_MS = 15_000;

t.test('a hello that does not come is a bug of who could have said it', async (t) => {
  const world = await connected();
  await world.runUntil(() => false, WAIT_MS);
  t.match(world.violation, { invariant: 'internal-error', message: /node0.*no hello in time/ });
});

t.test('what is cut elsewhere does not explain it', async (t) => {
  const world = await connected();
  world.cuts.add(pairKey('node1', 'tracker0'));
  await world.runUntil(() => false, WAIT_MS);
  t.match(world.violation, { invariant: 'internal-error' });
});

t.test('a hello that cannot come is none', async (t) => {
  const world = await connected();
  world.cuts.add(pairKey('node0', 'tracker0'));
  await world.runUntil(() => false, WAIT_MS);
  t.equal(world.violation, undefined);
});

/** A tracker, and a machine that connects to it and says nothing. */
async function connected(): Promise<World> {
  const world = new World({ ...drawPlan(1), trackers: 1, faults: [] });
  world.start('tracker0');
  const abort = new AbortController();
  const dialled = world.control.host('node0').dial({ host: 'tracker0', port: CONTROL_PORT }, abort);
  let there = false;
  void dialled.then(() => (there = true));
  await world.runUntil(() => there, WAIT_MS);
  return world;
}
