import type { Fault } from '../fault.ts';
import { failuresOf, pullOnAll } from '../pulls.ts';
import type { AccessKind } from '../registry-access.ts';
import type { RegistryFault } from '../registry-relay.ts';

const MIB = 1024 * 1024;
const CUT_BYTES = 10 * MIB;
const STALL_MS = 3_000;
const FIRST_PULL_DEADLINE_MS = 240_000;

/** During the whole pull; it must have spoilt at least one answer. */
function spoilt(name: string, what: string, fault: RegistryFault): Fault {
  return {
    name,
    what,
    limits: { registryRatio: 1.1 },
    prepare: (world) => world.registry.setFault(fault),
    async after(world) {
      const { spoilt } = await world.registry.counters();
      return spoilt > 0 ? undefined : 'the registry answered as if nothing were wrong';
    },
  };
}

export const REGISTRY_FAULTS: readonly Fault[] = [
  spoilt('registry-cuts', 'the registry cuts each connection after 10 MiB', {
    kind: 'cut',
    afterBytes: CUT_BYTES,
  }),
  spoilt('registry-stalls', 'each answer of the registry stands still for 3 s', {
    kind: 'stall',
    afterBytes: MIB,
    pauseMs: STALL_MS,
  }),
  spoilt('registry-500', 'the registry answers every second request with 500', { kind: 'every-second-500' }),
  gone('registry-down', 'a registry for everybody', 'public'),
  gone('registry-down-basic', 'a registry with passwords (Basic)', 'basic'),
  gone('registry-down-bearer', 'a registry with tokens (Bearer), whose nodes are trusted,', 'bearer'),
];

/** Every client was allowed to read a moment ago, and no byte can be read any more. */
function gone(name: string, registry: string, access: AccessKind): Fault {
  return {
    name,
    what: `${registry} is gone; half of the nodes do not keep what they pulled`,
    limits: { registryRatio: 0 },
    access,
    flags: (role, index) =>
      role === 'daemon'
        ? ['--stale-if-error', '1h', '--cache-after-pull', index % 2 === 0 ? 'keep' : 'drop']
        : [],
    async prepare(world) {
      const { struck } = world.library;
      const failures = failuresOf(await pullOnAll(world, struck, { deadlineMs: FIRST_PULL_DEADLINE_MS }));
      if (failures.length > 0) throw new Error(`before the registry went: ${failures.join('; ')}`);
      await world.registry.setFault({ kind: 'away' });
    },
  };
}
