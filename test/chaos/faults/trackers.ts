import type { Fault } from '../fault.ts';
import { moment } from './moment.ts';

/** Once every node has its neighbours. */
const UNDER_WAY = 0.1;

export const TRACKER_FAULTS: readonly Fault[] = [
  {
    name: 'trackers-killed',
    what: 'all trackers are killed for the rest of the pull',
    limits: { makespanRatio: 1.2, registryRatio: 1 },
    plan(world, schedule) {
      const at = moment(world, UNDER_WAY, 0.3);
      schedule.at(at, 'kill -9 all trackers', async () => {
        await Promise.all(world.trackers.map((tracker) => tracker.kill()));
      });
    },
  },
  {
    name: 'trackers-dead',
    what: 'all trackers are dead before the pull starts',
    limits: { makespanRatio: 2, registryRatio: 1.1 },
    async prepare(world) {
      await Promise.all(world.trackers.map((tracker) => tracker.kill()));
    },
  },
  {
    name: 'trackers-restarted',
    what: 'each tracker is killed and replaced by an empty one',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    plan(world, schedule) {
      for (const tracker of world.trackers) {
        schedule.at(moment(world), `${tracker.name} is replaced`, async () => {
          await tracker.kill();
          await tracker.start();
        });
      }
    },
  },
];
