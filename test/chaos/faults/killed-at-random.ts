import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import { gotWrongBytes, hasContainerd, type PullEnd, pullOnAll } from '../pulls.ts';

/** A daemon lives at most so long: starting, resuming, in the midst of a piece, or idle when the pull was short. */
const LONGEST_LIFE_MS = 2_000;
const DEADLINE_MS = 120_000;
/** Each is killed in its own time: more of them would only wait for a processor to start on. */
const VICTIMS = 3;

/** Nothing that a daemon has on its disk when it dies may reach a client as wrong bytes. */
export const KILLED_AT_RANDOM: Fault = {
  name: 'killed-at-random',
  what: 'three daemons are killed -9 at random instants, and started again on their data each time',
  limits: {},
  async drive(world, schedule) {
    const { kills, library, rng, signal } = world;
    // Plain clients: they tell of the first byte that differs, also when they are cut off.
    const victims = world.sample(
      world.nodes.filter((node) => !hasContainerd(world, node)),
      VICTIMS,
    );
    const pull = (nodes: readonly Machine[]): Promise<PullEnd[]> =>
      pullOnAll(world, library.struck, { nodes, deadlineMs: DEADLINE_MS });
    const wrong: PullEnd[] = [];
    const kill = async (victim: Machine, lives: readonly number[]): Promise<void> => {
      for (const lifeMs of lives) {
        const ending = pull([victim]);
        // Told where it is awaited.
        ending.catch(() => {});
        await sleep(lifeMs, undefined, { signal });
        await victim.kill();
        const ends = await ending;
        wrong.push(...ends.filter(gotWrongBytes));
        const complete = ends.every(({ failure }) => failure === undefined);
        // A complete image would let the rest of the kills find nothing to break.
        if (complete) await rm(join(world.folder, victim.name), { recursive: true });
        await victim.start();
      }
    };
    const lives = Array.from({ length: kills }, () => rng.float() * LONGEST_LIFE_MS);
    await Promise.all(
      victims.map((victim, i) =>
        kill(
          victim,
          lives.filter((_, at) => at % victims.length === i),
        ),
      ),
    );
    const names = victims.map(({ name }) => name).join(', ');
    schedule.at(0, `${names} were killed ${kills} times in all`, async () => {});
    schedule.reached(0);
    return [...wrong, ...(await pull(victims))];
  },
};
