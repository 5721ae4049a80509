import { parseBytes } from '../../lib/config/units.ts';
import type { Job } from '../report/jobs.ts';
import { PROFILES } from '../simulate/profile.ts';

/** Machines that pull one image at the same moment. Sizes and rates as a person types them. */
export interface Cluster {
  readonly nodes: number;
  readonly image: string;
  /** Of a node and of a supernode, in both directions. */
  readonly card: string;
}

/** What the registry sends in all: one server with such a card, or what lies behind it. */
export const REGISTRY_RATE = '10Gbit/s';
/** Numbers of supernodes to try, the fewest first. */
export const SUPERNODES: readonly number[] = [2, 3, 5];
const NODES = [100, 1000, 5000];
const IMAGES = ['1GiB', '4GiB'];
const CARDS = ['1Gbit/s', '10Gbit/s'];

export const CLUSTERS: readonly Cluster[] = NODES.flatMap((nodes) =>
  IMAGES.flatMap((image) => CARDS.map((card) => ({ nodes, image, card }))),
);

/** The run of the simulator for a cluster with so many supernodes. */
export function sizingJob({ card, image, nodes }: Cluster, supernodes: number): Job {
  const { name: profile } = PROFILES.daemon;
  const flags = `--nodes ${nodes} --blob-bytes ${image} --node-rate ${card} --seeds ${supernodes} --seed-rate ${card} --registry-rate ${REGISTRY_RATE}`;
  const name = `${nodes} nodes, ${image}, ${card}, ${supernodes} supernodes`;
  return {
    scenario: { name, flags, targets: [] },
    profile,
    rngSeed: 1,
    args: [...flags.split(' '), '--profile', profile, '--rng-seed', '1'],
    plot: false,
    work: nodes * parseBytes(image),
  };
}
