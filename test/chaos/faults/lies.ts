import { join } from 'node:path';
import { sumMetric } from '../../../bench/fixtures/metrics.ts';
import type { Fault } from '../fault.ts';
import type { Machine } from '../machine.ts';
import type { World } from '../world.ts';

const CORRUPT_ANSWERS = join(import.meta.dirname, '..', 'corrupt-answers-main.ts');

/** From now on whoever fetches from the node gets wrong bytes, over its own connections and under its own certificate. */
async function corrupt(node: Machine): Promise<void> {
  await node.stop();
  await node.start({ env: { NODE_OPTIONS: `--import=${CORRUPT_ANSWERS}` } });
}

async function noticed(world: World): Promise<string | undefined> {
  const rejected = await sumMetric(
    world.nodes.filter(({ isUp }) => isUp).map(({ admin }) => admin),
    'damselfly_pieces_rejected_total',
  );
  return rejected > 0 ? undefined : 'no node ever rejected a piece';
}

function corruptPeers(name: string, what: string, share: number, limits: Fault['limits']): Fault {
  return {
    name,
    what,
    limits,
    async prepare(world) {
      const liars = world.sample(world.nodes, Math.ceil(world.nodes.length * share));
      // The others ban them and give them nothing either: those are slower, if there are others.
      if (share < 1) for (const liar of liars) world.excused.add(liar);
      await Promise.all(liars.map(corrupt));
    },
    after: noticed,
  };
}

export const LIES: readonly Fault[] = [
  corruptPeers('quarter-corrupt', '25 % of the nodes send bytes that do not match their proofs', 0.25, {
    makespanRatio: 1.5,
    registryRatio: 1,
  }),
  corruptPeers('all-corrupt', 'all nodes send bytes that do not match their proofs', 1, { registryRatio: 2 }),
  {
    name: 'registry-lies-once',
    what: 'the registry sends one wrong layer, once',
    limits: { mayCut: 1 },
    prepare: (world) => world.registry.setFault({ kind: 'lie', answers: 1, to: 'all' }),
    after: wasToldALie,
  },
  {
    name: 'registry-lies-whole-blob',
    what: 'the registry sends one wrong layer, once, to nodes that verify whole blobs: no cut, no wrong byte',
    limits: {},
    flags: (role) => (role === 'daemon' ? ['--verify', 'whole-blob'] : []),
    prepare: (world) => world.registry.setFault({ kind: 'lie', answers: 1, to: 'all' }),
    after: wasToldALie,
  },
  {
    name: 'signer-lies',
    what: 'one of the supernodes is given wrong bytes of all it reads, and vouches for them',
    // The swarm reads once more, and may be given wrong bytes again; then nodes read for themselves.
    limits: { mayCut: 2 },
    prepare: lieToOne,
    after: wasToldALie,
  },
  {
    name: 'signer-lies-whole-blob',
    what: 'the same before nodes that verify whole blobs: no cut, no wrong byte',
    limits: {},
    flags: (role) => (role === 'daemon' ? ['--verify', 'whole-blob'] : []),
    prepare: lieToOne,
    after: wasToldALie,
  },
];

/** Which supernode owns the layers is not for the seed to say: the first that reads one. */
function lieToOne(world: World): Promise<void> {
  return world.registry.setFault({ kind: 'lie', answers: Number.MAX_SAFE_INTEGER, to: 'first-reader' });
}

async function wasToldALie(world: World): Promise<string | undefined> {
  const { spoilt } = await world.registry.counters();
  return spoilt > 0 ? undefined : 'nobody was told a lie';
}
