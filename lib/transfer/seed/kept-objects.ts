import type { OriginClient } from '../../origin/origin-client.ts';
import type { EngineDeps } from '../engine-deps.ts';
import { KeepBlobs } from './keep-blobs.ts';
import { KeptReads } from './kept-reads.ts';

/** A supernode's object store: what is read from it before the registry, and what is kept there. */
export interface KeptObjects {
  readonly reads: KeptReads;
  readonly keep: KeepBlobs;
}

/** @returns undefined without an object store */
export function openKeptObjects(
  deps: EngineDeps,
  registries: Pick<OriginClient, 'readBlob'>,
): KeptObjects | undefined {
  const { objects } = deps;
  if (objects === undefined) return undefined;
  const reads = new KeptReads({ ...deps, objects }, registries);
  return { reads, keep: new KeepBlobs({ ...deps, objects }, reads) };
}

/** For `/readyz`. */
export function keptNotes(kept: KeptObjects | undefined): readonly string[] {
  const problem = kept?.reads.problem;
  return problem === undefined ? [] : [`object store: ${problem}: blobs are read from registries`];
}
