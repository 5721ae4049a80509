import type { Fault } from '../fault.ts';
import { EARLIEST, LATEST, moment } from './moment.ts';

/** Of all nodes. */
const KILLED_SHARE = 0.3;

/** Faults of node daemons. */
export const NODE_FAULTS: readonly Fault[] = [
  {
    name: 'nodes-killed',
    what: '30 % of the nodes are killed -9',
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    plan(world, schedule) {
      for (const node of world.sample(world.nodes, Math.ceil(world.nodes.length * KILLED_SHARE))) {
        world.doomed.add(node);
        schedule.at(moment(world), `kill -9 ${node.name}`, () => node.kill());
      }
    },
  },
  {
    name: 'daemons-upgraded',
    what: 'each daemon is upgraded in turn',
    // Half of the clients resume nothing: a connection that is reset fails their pull.
    limits: { makespanRatio: 1.5, registryRatio: 1 },
    plan(world, schedule) {
      for (const [index, node] of world.nodes.entries()) {
        const at = EARLIEST + (index / world.nodes.length) * (LATEST - EARLIEST);
        schedule.at(at, `${node.name} is upgraded`, () => node.upgrade());
      }
    },
  },
];
