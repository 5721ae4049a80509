import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import { gotWrongBytes, hasContainerd, type PullEnd, pullOnAll } from '../pulls.ts';

/** A daemon lives at most so long: starting, resuming, in the midst of a piece, or idle when the pull was short. */
const LONGEST_LIFE_MS = 2_000;
const DEADLINE_MS = 120_000;

/** Nothing that a daemon has on its disk when it dies may reach a client as wrong bytes. */
export const KILLED_AT_RANDOM: Fault = {
  name: 'killed-at-random',
  what: 'one daemon is killed -9 at random instants, and started again on its data each time',
  limits: {},
  async drive(world, schedule) {
    const { kills, library, rng, signal } = world;
    // A plain client: it tells of the first byte that differs, also when it is cut off.
    const [victim] = world.sample(
      world.nodes.filter((node) => !hasContainerd(world, node)),
      1,
    );
    if (victim === undefined) throw new Error('there is no node with a plain client');
    const pull = async (): Promise<PullEnd[]> =>
      pullOnAll(world, library.struck, { nodes: [victim], deadlineMs: DEADLINE_MS });
    const wrong: PullEnd[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const ending = pull();
      await sleep(rng.float() * LONGEST_LIFE_MS, undefined, { signal });
      await victim.kill();
      const ends = await ending;
      wrong.push(...ends.filter(gotWrongBytes));
      const complete = ends.every(({ failure }) => failure === undefined);
      // A complete image would let the rest of the kills find nothing to break.
      if (complete) await rm(join(world.folder, victim.name), { recursive: true });
      await victim.start();
    }
    schedule.at(0, `${victim.name} was killed ${kills} times`, async () => {});
    schedule.reached(0);
    return [...wrong, ...(await pull())];
  },
};
