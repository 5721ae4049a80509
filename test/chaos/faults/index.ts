import type { Fault } from '../fault.ts';
import { KILLED_AT_RANDOM } from './killed-at-random.ts';
import { LIES } from './lies.ts';
import { MACHINE_FAULTS } from './machines.ts';
import { NETWORK_FAULTS } from './network.ts';
import { NODE_FAULTS } from './nodes.ts';
import { REGISTRY_FAULTS } from './registry.ts';
import { SUPERNODE_FAULTS } from './supernodes.ts';
import { TRACKER_FAULTS } from './trackers.ts';

/** The whole table. */
export const FAULTS: readonly Fault[] = [
  ...NODE_FAULTS,
  ...TRACKER_FAULTS,
  ...SUPERNODE_FAULTS,
  ...NETWORK_FAULTS,
  ...LIES,
  ...REGISTRY_FAULTS,
  ...MACHINE_FAULTS,
  KILLED_AT_RANDOM,
];
