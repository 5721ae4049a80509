import { join } from 'node:path';
import { type Digest, digestHex, digestKind } from '../core/digest.ts';

/*
 * The store's folder:
 *   blobs/sha256/ab/abcd…     a complete blob, named by its digest; a file without one is in blobs/url/
 *   ingest/sha256-abcd….part  a blob with holes: as long as the whole, sparse
 *   records/                  the key-value records (level)
 *   version                   which version of this layout it is
 * Nothing else may lie in blobs/ and ingest/: opening the store removes files that no record names.
 */

/** Where the records live. */
export function recordsFolder(folder: string): string {
  return join(folder, 'records');
}

/** Where partial blobs live. */
export function ingestFolder(folder: string): string {
  return join(folder, 'ingest');
}

/** Where complete blobs live: `blobs/<algorithm>/<first two digits>/<digits>`. */
export function blobsFolder(folder: string): string {
  return join(folder, 'blobs');
}

/** The folder of {@link blobPath}. */
export function blobFolder(folder: string, digest: Digest): string {
  return join(blobsFolder(folder), digestKind(digest), digestHex(digest).slice(0, 2));
}

/** File of a complete blob. */
export function blobPath(folder: string, digest: Digest): string {
  return join(blobFolder(folder, digest), digestHex(digest));
}

/** File of a partial blob. */
export function ingestPath(folder: string, digest: Digest): string {
  return join(ingestFolder(folder), `${digestKind(digest)}-${digestHex(digest)}.part`);
}

/** The digest in the name of an {@link ingestPath}; undefined when it is not one. */
export function digestOfIngestName(name: string): string | undefined {
  const match = /^([a-z0-9]+)-([0-9a-f]+)\.part$/.exec(name);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

/** Says which version of this layout the folder has. */
export function versionPath(folder: string): string {
  return join(folder, 'version');
}
