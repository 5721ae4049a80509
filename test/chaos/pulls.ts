import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { WRONG_BYTES } from '../../bench/fixtures/pull.ts';
import { pullTogether } from '../../bench/fixtures/pull-fleet.ts';
import { containerd } from '../helpers/clients/containerd.ts';
import type { LibraryImage } from './image-library.ts';
import type { Machine } from './machine.ts';
import { UPSTREAM, type World } from './world.ts';

/** How the pull of one node's client ended. */
export interface PullEnd {
  readonly node: Machine;
  readonly client: 'containerd' | 'http';
  readonly seconds: number;
  /** In the client's own words; undefined: it has the image, every byte right. */
  readonly failure?: string;
}

export interface PullAllOptions {
  readonly nodes?: readonly Machine[];
  /** Plain clients compare every byte as it comes, not only the digest of each whole blob. @default true */
  readonly compareBytes?: boolean;
  /** A pull that has not ended by then has failed. */
  readonly deadlineMs: number;
  /** Share of the image that the plain clients have received. */
  readonly onProgress?: (share: number) => void;
}

/** Processes of plain clients. */
const WORKERS = 3;

/** Whether containerd pulls on a node. */
export function hasContainerd(world: World, node: Machine): boolean {
  return world.nodes.indexOf(node) < world.size.containerdNodes;
}

/** A sentence for each that failed. */
export function failuresOf(ends: readonly PullEnd[]): string[] {
  return ends.flatMap(({ client, failure, node, seconds }) =>
    failure === undefined ? [] : [`${client} on ${node.name} after ${seconds.toFixed(1)} s: ${failure}`],
  );
}

/** A plain client compares every byte; containerd says that the digest of a whole blob was not the expected one. */
export function gotWrongBytes({ failure = '' }: PullEnd): boolean {
  return failure.includes(WRONG_BYTES) || /unexpected (commit )?digest/.test(failure);
}

/** All nodes' clients pull at the same moment. @returns ends in no order; none is missing */
export async function pullOnAll(
  world: World,
  image: LibraryImage,
  options: PullAllOptions,
): Promise<PullEnd[]> {
  const nodes = options.nodes ?? world.nodes;
  const deadline = AbortSignal.timeout(options.deadlineMs);
  const signal = AbortSignal.any([world.signal, deadline]);
  const told = (failure: string): string =>
    deadline.aborted ? `did not end within ${options.deadlineMs / 1000} s` : failure;
  const real = nodes.filter((node) => hasContainerd(world, node));
  const plain = nodes.filter((node) => !real.includes(node));
  const ends = await Promise.all([
    pullPlain(world, plain, image, signal, options),
    ...real.map((node) => pullByContainerd(world, node, image, signal, options.deadlineMs)),
  ]);
  world.signal.throwIfAborted();
  return ends.flat().map((end) => (end.failure === undefined ? end : { ...end, failure: told(end.failure) }));
}

async function pullPlain(
  world: World,
  nodes: readonly Machine[],
  image: LibraryImage,
  signal: AbortSignal,
  { compareBytes = true, onProgress }: PullAllOptions,
): Promise<PullEnd[]> {
  if (nodes.length === 0) return [];
  const { credentials } = world;
  const secret = credentials && Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
  const authorization = secret && `Basic ${secret}`;
  const received = nodes.map(() => 0);
  const started = performance.now();
  const endedAt = nodes.map(() => 0);
  const outcomes = await pullTogether(
    nodes.map((node) => ({
      base: `http://${node.proxy}`,
      repository: image.repository,
      tag: image.tag,
      ...(compareBytes ? { layout: image.folder } : {}),
      ...(authorization === undefined ? {} : { authorization }),
    })),
    {
      signal,
      workers: WORKERS,
      onProgress(puller, bytes) {
        received[puller] = bytes;
        // Those that are gone, or held back, would keep the others' end from ever being reached.
        const counted = received.filter((_, i) => countsForProgress(world, nodes[i]));
        const sum = counted.reduce((total, one) => total + one, 0);
        onProgress?.(sum / (image.bytes * Math.max(1, counted.length)));
      },
      onDone: (puller) => void (endedAt[puller] = performance.now()),
    },
  );
  return outcomes.map((outcome, i): PullEnd => {
    const node = nodes[i] as Machine;
    if (outcome.kind === 'failed') {
      const seconds = ((endedAt[i] ?? 0) - started) / 1000;
      return { node, client: 'http', seconds, failure: outcome.reason };
    }
    const { manifestDigest, seconds } = outcome.result;
    const wrong = manifestDigest !== image.manifest.digest;
    return { node, client: 'http', seconds, ...(wrong ? { failure: `got manifest ${manifestDigest}` } : {}) };
  });
}

function countsForProgress(world: World, node: Machine | undefined): boolean {
  return node !== undefined && !world.doomed.has(node) && !world.excused.has(node);
}

async function pullByContainerd(
  world: World,
  node: Machine,
  image: LibraryImage,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<PullEnd> {
  const started = performance.now();
  const secondsNow = (): number => (performance.now() - started) / 1000;
  try {
    // A new one for each pull: containerd asks for nothing that it has.
    const folder = await mkdtemp(join(world.folder, 'clients', `${node.name}-`));
    // The mirror is all there is: a client that goes round it to the registry would hide our failure.
    const where = { namespace: UPSTREAM, registry: node.proxy };
    const { repository, tag } = image;
    const credentials = world.credentials && { credentials: world.credentials };
    const got = await containerd.pull({
      folder,
      ...where,
      repository,
      tag,
      timeoutMs,
      signal,
      ...credentials,
    });
    const seconds = secondsNow();
    const wanted = [image.manifest, image.config, ...image.layers].map(({ digest }) => digest).sort();
    const right = got.manifestDigest === image.manifest.digest && got.contentDigests.join() === wanted.join();
    return { node, client: 'containerd', seconds, ...(right ? {} : { failure: 'has other content' }) };
  } catch (error) {
    return { node, client: 'containerd', seconds: secondsNow(), failure: (error as Error).message };
  }
}
