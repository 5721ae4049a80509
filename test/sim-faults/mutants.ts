import type { Role } from '../../lib/core/node.ts';
import { createNoDiscovery } from '../../lib/discovery/no-discovery.ts';
import type { Disk, DiskFile } from '../../lib/store/disk/disk.ts';
import type { EngineDeps } from '../../lib/transfer/engine-deps.ts';
import type { ProcessDisk } from './sim-disk.ts';

/** A guard of every process, broken on purpose at a seam: a simulation that does not notice is worth nothing. */
export interface Mutant {
  readonly engine?: (deps: EngineDeps, role: Role) => EngineDeps;
  readonly storage?: (storage: ProcessDisk) => ProcessDisk;
}

/** Files look as they did: what somebody changed is served and read without being verified again. */
export const servesUnverified: Mutant = { storage: withFiles(() => ({ stamp: () => 'as ever' })) };

/** What was synced was not. */
export const syncsNothing: Mutant = { storage: withFiles(() => ({ sync: async () => {} })) };

/** What need not be synced is not even recorded. */
export const losesRecords: Mutant = {
  storage: ({ disk, keyValue }) => ({
    disk,
    keyValue: {
      get: (key) => keyValue.get(key),
      entries: (prefix) => keyValue.entries(prefix),
      close: () => keyValue.close(),
      batch: async (operations, options) => {
        if (options?.sync === true) await keyValue.batch(operations, options);
      },
    },
  }),
};

/** Nobody hears of anybody: every process reads the registry for itself. */
export const asksNobody: Mutant = {
  engine: (deps) => ({
    ...deps,
    discovery: { ...createNoDiscovery(), close: () => deps.discovery.close() },
  }),
};

/** Nodes never get an answer from the registry: there is no way out when the swarm does not deliver. */
export const neverFallsBack: Mutant = {
  engine: (deps, role) =>
    role === 'supernode'
      ? deps
      : { ...deps, origin: { ...deps.origin, readBlob: () => new Promise(() => {}) } },
};

/** Memory that was acquired is never given back. */
export const leaksBuffers: Mutant = {
  engine: (deps) => {
    const { pool } = deps;
    const acquire: typeof pool.acquire = async (bytes, signal) => {
      const buffer = await pool.acquire(bytes, signal);
      return { bytes: buffer.bytes, share: () => buffer.share(), release: () => {} };
    };
    const leaking = new Proxy(pool, {
      get: (target, key) => (key === 'acquire' ? acquire : (Reflect.get(target, key, target) as unknown)),
    });
    return { ...deps, pool: leaking };
  },
};

function withFiles(broken: () => Partial<DiskFile>): (storage: ProcessDisk) => ProcessDisk {
  return ({ disk, keyValue }) => {
    const open: Disk['open'] = async (path) => ({ ...(await disk.open(path)), ...broken() });
    return { keyValue, disk: { ...disk, open } };
  };
}
