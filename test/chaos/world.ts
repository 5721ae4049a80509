import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeAuthority } from '../../bench/fixtures/join-authority.ts';
import { createNetwork, type Network, type NetworkNode } from '../../bench/fixtures/network.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { createRng, type Rng } from '../../lib/runtime/rng.ts';
import { startAll } from '../helpers/start-all.ts';
import type { Fault } from './fault.ts';
import type { ImageLibrary } from './image-library.ts';
import { Machine, type Role } from './machine.ts';
import { grantAccess, type RegistryAccess } from './registry-access.ts';
import { type RegistryMachine, startRegistryMachine } from './registry-machine.ts';
import { sample } from './sample.ts';
import type { SuiteSize } from './sizes.ts';

export interface WorldSize {
  readonly nodes: number;
  /** On so many of them containerd pulls, on the others a plain HTTP client that resumes nothing. */
  readonly containerdNodes: number;
  readonly supernodes: number;
  readonly trackers: number;
  /** Of every machine's link, each direction. */
  readonly linkBytesPerSecond: number;
}

/** A whole cluster, each process on a machine of its own, and the registry behind a relay that can misbehave. */
export interface World extends AsyncDisposable {
  readonly size: WorldSize;
  /** What clients send, when the registry is not for everybody. */
  readonly credentials: RegistryAccess['client'];
  /** How often the row of kills at random instants kills. */
  readonly kills: number;
  readonly folder: string;
  readonly rng: Rng;
  readonly library: ImageLibrary;
  readonly network: Network;
  readonly registry: RegistryMachine;
  readonly trackers: readonly Machine[];
  readonly supernodes: readonly Machine[];
  readonly nodes: readonly Machine[];
  readonly machines: readonly Machine[];
  /** Nodes that are taken away: their pulls may fail. */
  readonly doomed: Set<Machine>;
  /** Nodes that are made slow themselves: their pulls do not count for the makespan. */
  readonly excused: Set<Machine>;
  readonly signal: AbortSignal;
  /** Undone last in, first out, before the machines are stopped. */
  readonly cleanup: AsyncDisposableStack;
  /** `count` different ones, drawn by the seed. */
  sample<T>(from: readonly T[], count: number): T[];
  /** Ends all machines by SIGTERM. */
  stop(): Promise<void>;
}

/** The registry as images name it. */
export const UPSTREAM = 'registry.chaos';
/** 1 Gbit/s: what is slow here is the way to the nodes. */
const REGISTRY_BYTES_PER_SECOND = 125_000_000;

/** @throws Error when a part does not come up; what was there until then is gone */
export async function createWorld(options: {
  readonly size: SuiteSize;
  readonly library: ImageLibrary;
  readonly fault: Fault;
  readonly seed: number;
  /** Identities, mutual TLS and capabilities, as `damselfly up` has them. */
  readonly secure: boolean;
  readonly signal: AbortSignal;
}): Promise<World> {
  const { fault, library, signal } = options;
  const size = options.size.world;
  const outer = new AsyncDisposableStack();
  try {
    const folder = outer.use(await tempFolder('chaos')).path;
    const machineCount = size.nodes + size.supernodes + size.trackers;
    const network = await createNetwork({
      nodes: machineCount + 1,
      bytesPerSecond: size.linkBytesPerSecond,
    });
    outer.defer(() => network.remove());
    const registryPlace = placeOf(network, machineCount);
    await network.setRate(machineCount, REGISTRY_BYTES_PER_SECOND);
    const access = await grantAccess(fault.access ?? 'public', folder, registryPlace);
    outer.defer(() => access.close());
    const registry = await startRegistryMachine({
      ...{ place: registryPlace, folder, data: library.registryData, auth: access.registry, signal },
    });
    outer.defer(() => registry.stop());
    const config = join(folder, 'config.yaml');
    const upstream = { name: UPSTREAM, url: registry.url, ...access.upstream };
    // JSON is YAML.
    await writeFile(config, JSON.stringify({ upstream: [upstream] }));

    const authority = options.secure ? await makeAuthority(join(folder, 'ca')) : undefined;

    let link = 0;
    const trackerHosts: string[] = [];
    const makeMachines = (role: Role, name: string, count: number): Machine[] =>
      Array.from({ length: count }, (_, index) => {
        const flags = fault.flags?.(role, index) ?? [];
        const place = placeOf(network, link);
        const spec = { name: `${name}${index}`, role, place, folder, config, authority, flags, signal };
        return new Machine({ ...spec, link: link++, trackers: trackerHosts });
      });
    const trackers = makeMachines('tracker', 'tracker', size.trackers);
    trackerHosts.push(...trackers.map(({ spec }) => spec.place.peerHost));
    const supernodes = makeMachines('supernode', 'supernode', size.supernodes);
    const nodes = makeMachines('daemon', 'node', size.nodes);
    const machines = [...trackers, ...supernodes, ...nodes];
    const stop = async (): Promise<void> => void (await Promise.all(machines.map((one) => one.stop())));
    outer.defer(stop);
    const cleanup = outer.use(new AsyncDisposableStack());
    await mkdir(join(folder, 'clients'));
    for (const group of [trackers, supernodes, nodes]) await startAll(group);

    const rng = createRng(options.seed);
    return {
      ...{ size, folder, rng, library, network, registry, signal, cleanup },
      ...{ trackers, supernodes, nodes, machines, stop },
      credentials: access.client,
      kills: options.size.kills,
      doomed: new Set(),
      excused: new Set(),
      sample: (from, count) => sample(rng, from, count),
      [Symbol.asyncDispose]: () => outer.disposeAsync(),
    };
  } catch (error) {
    await outer.disposeAsync();
    throw error;
  }
}

/** @throws Error when the network has no such place */
function placeOf(network: Network, link: number): NetworkNode {
  const place = network.nodes[link];
  if (place === undefined) throw new Error('the network is too small');
  return place;
}
