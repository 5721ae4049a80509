import { sumMetric } from '../../../bench/fixtures/metrics.ts';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';
import { moment } from './moment.ts';

/** By then the registry has not yet been read to its end. */
const STILL_READING = 0.4;
/** What was on its way to the dead one: in the buffers of both kernels, and of a piece not yet whole. */
const IN_FLIGHT_BYTES_A_LAYER = 6 * 1024 * 1024;

/** Bytes that a supernode has read and passed on to nobody, by its own count, and what was on its way to it. */
async function unsharedBytes(world: World, supernode: Machine): Promise<number> {
  const of = (name: string, labels: Record<string, string>): Promise<number> =>
    sumMetric([supernode.admin], name, labels);
  const read = await of('damselfly_received_bytes_total', { source: 'origin' });
  const sent = await of('damselfly_sent_bytes_total', { to: 'peer' });
  const layers = world.library.struck.layers.length;
  return Math.max(0, read - sent) + layers * IN_FLIGHT_BYTES_A_LAYER;
}

const lostShare = new WeakMap<World, number>();

export const SUPERNODE_FAULTS: readonly Fault[] = [
  {
    name: 'one-supernode-killed',
    what: 'one of the supernodes is killed while it reads',
    // And what nobody held.
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    allowance: (world) => lostShare.get(world) ?? 0,
    plan(world, schedule) {
      for (const supernode of world.sample(world.supernodes, 1)) {
        schedule.at(moment(world, 0.05, STILL_READING), `kill -9 ${supernode.name}`, async () => {
          const lost = await unsharedBytes(world, supernode);
          lostShare.set(world, lost / world.library.struck.ownBytes);
          await supernode.kill();
        });
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
    async prepare(world) {
      await Promise.all([...world.trackers, ...world.supernodes].map((machine) => machine.kill()));
    },
  },
  {
    name: 'supernodes-restarted',
    what: 'each supernode is killed and started again on its data',
    limits: { makespanRatio: 2, registryRatio: 1.3 },
    plan(world, schedule) {
      for (const supernode of world.supernodes) {
        schedule.at(moment(world), `${supernode.name} is started again`, async () => {
          await supernode.kill();
          await supernode.start();
        });
      }
    },
  },
];
