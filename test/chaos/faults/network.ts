import type { Fault } from '../fault.ts';
import { cutApart, heal, losePackets } from '../links.ts';
import { moment } from './moment.ts';

const LOSS_SHARE = 0.01;
/** So many times slower than the others. */
const SLOW_FACTOR = 3;

/** Faults of the network between the machines. */
export const NETWORK_FAULTS: readonly Fault[] = [
  {
    name: 'half-partitioned',
    what: 'half of the nodes are cut off with one supernode; both sides reach the registry',
    limits: { registryRatio: 2 },
    plan(world, schedule) {
      const nodes = world.sample(world.nodes, Math.floor(world.nodes.length / 2));
      const [supernode] = world.sample(world.supernodes, 1);
      const away = [...nodes, ...(supernode === undefined ? [] : [supernode])];
      const rest = world.machines.filter((machine) => !away.includes(machine));
      const names = away.map(({ name }) => name).join(', ');
      schedule.at(moment(world, 0.05, 0.6), `${names} are cut off`, () => cutApart(away, rest));
    },
    async after(world) {
      await Promise.all(world.machines.map(heal));
      return undefined;
    },
  },
  {
    name: 'slow-links',
    what: 'the links of a sixth of the nodes become three times slower',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    plan(world, schedule) {
      for (const node of world.sample(world.nodes, Math.ceil(world.nodes.length / 6))) {
        world.excused.add(node);
        schedule.at(moment(world, 0, 0.5), `the link of ${node.name} becomes slow`, () =>
          world.network.setRate(node.spec.link, world.size.linkBytesPerSecond / SLOW_FACTOR),
        );
      }
    },
  },
  {
    name: 'packet-loss',
    what: 'a quarter of the machines lose one packet in a hundred',
    limits: { makespanRatio: 2, registryRatio: 1.1 },
    async prepare(world) {
      for (const machine of world.sample(world.machines, Math.ceil(world.machines.length / 4))) {
        await losePackets(machine, LOSS_SHARE);
      }
    },
  },
];
