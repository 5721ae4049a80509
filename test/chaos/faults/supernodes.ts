import { sumMetric } from '../../../bench/fixtures/metrics.ts';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';
import { moment } from './moment.ts';

/** By then the registry has not yet been read to its end. */
const STILL_READING = 0.4;
/** Of the image: what lands between the look at the supernode and its end, and what was on its way to a node. */
const UNDER_WAY = 0.05;

/** Bytes that nobody else held when supernodes were killed, and how many were. */
const lost = new WeakMap<World, { bytes: number; kills: number }>();

/** What only it holds has to be read again. */
async function killReading(world: World, supernode: Machine): Promise<void> {
  const { bytes, kills } = lost.get(world) ?? { bytes: 0, kills: 0 };
  const alone = await sumMetric([supernode.admin], 'damselfly_unshared_bytes');
  lost.set(world, { bytes: bytes + alone, kills: kills + 1 });
  await supernode.kill();
}

function lostShare(world: World): number {
  const { bytes, kills } = lost.get(world) ?? { bytes: 0, kills: 0 };
  return bytes / world.library.struck.ownBytes + kills * UNDER_WAY;
}

export const SUPERNODE_FAULTS: readonly Fault[] = [
  {
    name: 'one-supernode-killed',
    what: 'one of the supernodes is killed while it reads',
    // And what nobody held.
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    allowance: lostShare,
    plan(world, schedule) {
      for (const supernode of world.sample(world.supernodes, 1)) {
        const at = moment(world, 0.05, STILL_READING);
        schedule.at(at, `kill -9 ${supernode.name}`, () => killReading(world, supernode));
      }
    },
  },
  {
    name: 'all-supernodes-killed',
    what: 'all supernodes are killed',
    limits: { makespanRatio: 2.5, registryRatio: 1.3 },
    plan(world, schedule) {
      schedule.at(moment(world, 0.05, STILL_READING), 'kill -9 all supernodes', async () => {
        await Promise.all(world.supernodes.map((supernode) => supernode.kill()));
      });
    },
  },
  {
    name: 'all-dead',
    what: 'trackers and supernodes are dead before the start',
    limits: { registryRatio: 2 },
    prepare: killAll,
  },
  {
    name: 'all-dead-basic',
    what: 'trackers and supernodes are dead before the start, and nobody can say who may have a private image (Basic): each node reads it',
    limits: {},
    access: 'basic',
    prepare: killAll,
  },
  {
    name: 'supernodes-restarted',
    what: 'each supernode is killed and started again on its data',
    // And what nobody held, each time.
    limits: { makespanRatio: 2, registryRatio: 1 },
    allowance: lostShare,
    plan(world, schedule) {
      for (const supernode of world.supernodes) {
        schedule.at(moment(world), `${supernode.name} is started again`, async () => {
          await killReading(world, supernode);
          await supernode.start();
        });
      }
    },
  },
];

async function killAll({ supernodes, trackers }: World): Promise<void> {
  await Promise.all([...trackers, ...supernodes].map((machine) => machine.kill()));
}
