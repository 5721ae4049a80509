import { sumMetric } from '../../../bench/fixtures/metrics.ts';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';
import { moment } from './moment.ts';

/** By then the registry has not yet been read to its end. */
const STILL_READING = 0.4;
/** Of the image: pieces that two nodes got from the dead one count twice as passed on. */
const GIVEN_TWICE = 0.05;

/** How far a supernode's bytes got, from the registry to it and from it to others. */
interface Passage {
  readonly received: number;
  readonly passedOn: number;
}

const before = new WeakMap<Machine, Passage>();
const lost = new WeakMap<World, number>();

/** Received is what has left the registry for it, on whose way so much as is in the buffers of both kernels may be. */
async function passageOf(world: World, supernode: Machine): Promise<Passage> {
  const { bytesTo } = await world.registry.counters();
  return {
    received: bytesTo[supernode.spec.place.peerHost] ?? 0,
    passedOn: await sumMetric([supernode.admin], 'damselfly_sent_bytes_total', { to: 'peer' }),
  };
}

async function notePassage(world: World): Promise<void> {
  for (const supernode of world.supernodes) before.set(supernode, await passageOf(world, supernode));
}

/** Bytes that go with a supernode: nobody else holds them. */
async function bytesHeldAlone(world: World, supernode: Machine): Promise<number> {
  const start = before.get(supernode) ?? { received: 0, passedOn: 0 };
  const now = await passageOf(world, supernode);
  return Math.max(0, now.received - start.received - (now.passedOn - start.passedOn));
}

export const SUPERNODE_FAULTS: readonly Fault[] = [
  {
    name: 'one-supernode-killed',
    what: 'one of the supernodes is killed while it reads',
    // And what nobody held.
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    allowance: (world) => (lost.get(world) ?? 0) / world.library.struck.ownBytes + GIVEN_TWICE,
    prepare: notePassage,
    plan(world, schedule) {
      for (const supernode of world.sample(world.supernodes, 1)) {
        schedule.at(moment(world, 0.05, STILL_READING), `kill -9 ${supernode.name}`, async () => {
          lost.set(world, await bytesHeldAlone(world, supernode));
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
