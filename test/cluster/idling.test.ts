import t from 'tap';
import { MemoryCluster } from './memory-cluster.ts';

const SIZE = 256 * 1024;
const STEP_MS = 10;

/** How long a lone node that has idled for so long waits for a swarm before it reads the registry, milliseconds. */
async function stepsInAfter(idleMs: number): Promise<number> {
  const cluster = await MemoryCluster.start({ seed: 1, nodes: 1, supernodes: 0 });
  await cluster.run(idleMs);
  const digest = cluster.blob(SIZE);
  const startedMs = cluster.clock.now();
  const pull = cluster.pull(cluster.nodes[0]!, digest, SIZE);
  while (!cluster.events.some(({ event }) => event.kind === 'fallback')) await cluster.run(STEP_MS);
  const waitedMs = cluster.clock.now() - startedMs;
  await cluster.until(pull, 30_000);
  return waitedMs;
}

t.test('who has idled is as quick as who has just started', async (t) => {
  const freshMs = await stepsInAfter(0);
  // Wherever between two ticks the pull comes.
  for (const idleMs of [60_070, 60_340, 60_610, 60_980]) {
    const waitedMs = await stepsInAfter(idleMs);
    t.ok(waitedMs <= freshMs + 50, `${waitedMs} ms after ${idleMs} ms, ${freshMs} ms at once`);
  }
});
