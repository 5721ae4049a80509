import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { type BlobStoreOptions, openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue, type MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { BlobStore } from '../../lib/store/store.ts';

/** A store in memory and what it stands on; its wall clock is the fake one. */
export interface Machine {
  readonly disk: MemoryDisk;
  readonly keyValue: MemoryKeyValue;
  readonly clock: FakeClock;
  readonly store: BlobStore;
}

export const FOLDER = '/store';

/** Opens a store on what is given, the rest is new. */
export async function boot(
  from: Partial<Omit<Machine, 'store'>> = {},
  options: BlobStoreOptions = {},
): Promise<Machine> {
  const { disk = createMemoryDisk(), keyValue = createMemoryKeyValue(), clock = new FakeClock() } = from;
  const wallClockMs = (): number => clock.now();
  const deps = { disk, keyValue, clock, log: silentLog(), wallClockMs, folder: FOLDER };
  return { disk, keyValue, clock, store: await openBlobStore(deps, options) };
}

/** Lets everything that waits only for microtasks happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Lets time pass, and everything happen that it brings. */
export async function pass(clock: FakeClock, ms: number): Promise<void> {
  const untilMs = clock.now() + ms;
  do await settle();
  while (clock.advanceToNext(untilMs));
}
