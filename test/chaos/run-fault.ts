import { round } from '../../bench/fixtures/table.ts';
import { findLeaks, takeCensus } from './census.ts';
import type { Fault } from './fault.ts';
import type { ImageLibrary, LibraryImage } from './image-library.ts';
import { keepLogs } from './kept-logs.ts';
import { failuresOf, gotWrongBytes, type PullEnd, pullOnAll } from './pulls.ts';
import type { RelayCounters } from './registry-relay.ts';
import { findRemains, findSurvivors } from './remains.ts';
import type { ChaosResult } from './result.ts';
import { createSchedule } from './schedule.ts';
import type { SuiteSize } from './sizes.ts';
import { createWorld, type World } from './world.ts';

export interface RunOptions {
  readonly fault: Fault;
  readonly seed: number;
  /** Of the code that is run. */
  readonly commit: string;
  readonly size: SuiteSize;
  readonly secure: boolean;
  readonly library: ImageLibrary;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A pull that lasts this many times what the links allow does not end. */
const PATIENCE = 8;
const MIN_DEADLINE_MS = 60_000;
/** Manifests, and half a percent of the 300 MiB that the table is about: what 1.00x leaves open. */
const REGISTRY_ROUNDING_BYTES = 1.5 * 1024 * 1024;

/** A fresh cluster: a small pull, a calm one where time counts, the struck one, and a look from outside at everything. */
export async function runFault(options: RunOptions): Promise<ChaosResult> {
  const { fault, library, say, secure, seed, signal, size } = options;
  const world = await createWorld({ size, library, fault, seed, secure, signal });
  try {
    const result = await strikeAndLook(world, options);
    if (result.broken.length > 0) await keepLogs(world, `${fault.name}-${seed}`, say);
    await world[Symbol.asyncDispose]();
    return { ...result, broken: [...result.broken, ...(await findRemains(world))] };
  } finally {
    await world[Symbol.asyncDispose]();
  }
}

async function strikeAndLook(world: World, options: RunOptions): Promise<ChaosResult> {
  const { commit, fault, library, say, secure, seed, signal, size } = options;
  const broken: string[] = [];
  const deadlineMs = deadlineOf(library.struck, size);
  const calmPull = async (image: LibraryImage): Promise<number> => {
    const ends = await pullOnAll(world, image, { deadlineMs });
    broken.push(...failuresOf(ends).map((failure) => `in calm: ${failure}`));
    return makespan(ends);
  };

  await calmPull(library.warm);
  const { mayCut = 0 } = fault.limits;
  const isPair = size.judgeMakespan && fault.limits.makespanRatio !== undefined;
  const calmSeconds = isPair ? await calmPull(library.calm) : null;
  const census = await takeCensus(world.machines);
  await fault.prepare?.(world);

  const before = await world.registry.counters();
  const started = performance.now();
  const schedule = createSchedule(() => (performance.now() - started) / 1000);
  fault.plan?.(world, schedule);
  const onProgress = (share: number): void => schedule.reached(share);
  say(`  ${calmSeconds === null ? '' : `calm ${calmSeconds.toFixed(1)} s; `}now ${fault.what}`);
  const ends =
    (await fault.drive?.(world, schedule)) ??
    (await pullOnAll(world, library.struck, { deadlineMs, onProgress, compareBytes: mayCut === 0 }));
  await schedule.settle().catch((error: unknown) => broken.push((error as Error).message));
  const counters = await world.registry.counters();

  const needed = ends.filter(({ node }) => !world.doomed.has(node));
  const failed = needed.filter(({ failure }) => failure !== undefined);
  // Wrong bytes are wrong whoever was killed meanwhile. Only containerd may notice some where a pull may be cut off:
  // it asks for the rest at once, and what it has from before is wrong.
  const wrong = ends.filter((end) => gotWrongBytes(end) && !(mayCut > 0 && end.client === 'containerd'));
  const lost = await nextAttempts(world, failed, mayCut, deadlineMs);
  broken.push(...failuresOf([...wrong, ...lost.filter((end) => !wrong.includes(end))]));

  const seconds = makespan(needed.filter(({ node }) => !world.excused.has(node)));
  const makespanRatio = calmSeconds === null ? null : round(seconds / calmSeconds);
  const registryShare = (counters.bytes - before.bytes) / library.struck.ownBytes;
  const registryRatio = round(registryShare);
  const { limits } = fault;
  if (size.judgeMakespan && makespanRatio !== null && makespanRatio > (limits.makespanRatio ?? Infinity)) {
    broken.push(`makespan ${makespanRatio}x, more than ${limits.makespanRatio ?? 0}x`);
  }
  const most = (limits.registryRatio ?? Infinity) + (fault.allowance?.(world) ?? 0) + size.registrySlack;
  if (registryShare > most + REGISTRY_ROUNDING_BYTES / library.struck.ownBytes) {
    const readers = readersBetween(world, before, counters);
    broken.push(`the registry sent ${registryRatio}x, more than ${round(most)}x: ${readers}`);
  }
  const unfelt = await fault.after?.(world);
  if (unfelt !== undefined) broken.push(unfelt);
  broken.push(
    ...world.machines.filter(({ hasDied }) => hasDied).map(({ name }) => `${name} ended by itself`),
  );
  broken.push(...(await findLeaks(world.machines, census, signal)));
  await world.cleanup.disposeAsync();
  await world.stop();
  broken.push(...(await findSurvivors(world)));
  return {
    ...{ fault: fault.name, commit, date: new Date().toISOString().slice(0, 10), seed, secure },
    ...{ nodes: size.world.nodes, imageBytes: library.struck.bytes },
    ...{ failedPulls: lost.length, calmSeconds, seconds, makespanRatio, registryRatio },
    ...{ events: schedule.events, broken },
  };
}

/** Who read how much of the image from the registry. */
function readersBetween({ library, machines }: World, before: RelayCounters, after: RelayCounters): string {
  return machines
    .flatMap(({ name, spec }) => {
      const host = spec.place.peerHost;
      const share = round(
        ((after.bytesTo[host] ?? 0) - (before.bytesTo[host] ?? 0)) / library.struck.ownBytes,
      );
      return share > 0 ? [`${name} ${share}x`] : [];
    })
    .join(', ');
}

/**
 * What still fails after so many more attempts. containerd begins anew: with what it has of a wrong blob it would
 * go on for a day, whoever gives it the rest.
 */
async function nextAttempts(
  world: World,
  failed: readonly PullEnd[],
  attempts: number,
  deadlineMs: number,
): Promise<readonly PullEnd[]> {
  if (failed.length === 0 || attempts === 0) return failed;
  const nodes = failed.map(({ node }) => node);
  const ends = await pullOnAll(world, world.library.struck, { nodes, deadlineMs, compareBytes: false });
  const still = ends.filter(({ failure }) => failure !== undefined);
  return await nextAttempts(world, still, attempts - 1, deadlineMs);
}

function deadlineOf(image: LibraryImage, { world: { linkBytesPerSecond } }: SuiteSize): number {
  return Math.max(MIN_DEADLINE_MS, Math.ceil((image.bytes / linkBytesPerSecond) * PATIENCE) * 1000);
}

/** Seconds of the slowest that succeeded. */
function makespan(ends: readonly PullEnd[]): number {
  const good = ends.filter(({ failure }) => failure === undefined);
  return round(Math.max(0, ...good.map(({ seconds }) => seconds)));
}
