import type { BlobRequest, BlobSource } from '../lib/core/blob-source.ts';
import { blobFile, layoutFiles, listedBlobs } from '../lib/oci/archive/image-layout.ts';
import { type FileToPack, packArchive } from '../lib/oci/archive/pack.ts';
import { formatReference, parseReference, type Reference } from '../lib/oci/reference.ts';
import { type ManifestSource, type ResolvedImage, resolveImage } from '../lib/origin/resolve-image.ts';
import type { PulledImage, WantedImage } from './pull-image.ts';
import { type BlobEvents, readChecked, readWhole } from './read-blob.ts';
import { writeFileWhole } from './write-file.ts';

/** The daemon fetches so many blobs besides the one that is being written. */
const AHEAD = 2;

/**
 * Writes an image as one archive to a file: an OCI layout that `docker load` reads too. Blobs go from the daemon into the
 * file as they arrive; the file has its name when all of them have matched their digests, else there is none.
 * @throws REFERENCE_INVALID, UPSTREAM_*, DIGEST_MISMATCH, DAEMON_UNREACHABLE, FILE_FAILED, ABORTED
 */
export async function saveImage(
  source: BlobSource & ManifestSource,
  wanted: WantedImage,
  file: string,
  events: BlobEvents,
  signal: AbortSignal,
): Promise<PulledImage> {
  const reference = parseReference(wanted.image);
  const resolved = await resolveImage(source, reference, wanted.platform, signal);
  const { manifests, root } = resolved;
  const origin = { upstream: reference.registry, repository: reference.repository };
  const blobs = listedBlobs(manifests).map(({ digest, size }): BlobRequest => ({ digest, size, origin }));
  const beginnings = new AbortController();
  const begin = (request: BlobRequest | undefined): void => {
    if (request === undefined || request.size === 0) return;
    const either = AbortSignal.any([signal, beginnings.signal]);
    void readFirstByte(source, request, either);
  };

  async function* files(): AsyncGenerator<FileToPack> {
    for (const { bytes, name } of smallFiles(reference, resolved)) {
      yield { name, size: bytes.length, content: [bytes] };
    }
    for (const next of blobs.slice(1, AHEAD)) begin(next);
    for (const [index, request] of blobs.entries()) {
      begin(blobs[index + AHEAD]);
      const { digest, size } = request;
      yield { name: blobFile(digest), size, content: readChecked(source, request, events, signal) };
    }
  }

  try {
    await writeFileWhole(file, packArchive(files()), signal);
  } finally {
    beginnings.abort();
  }
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
  return { image: formatReference(reference), digest: root.digest, blobs: blobs.length, bytes };
}

/** Of an image's archive what comes before the blobs: the files that make it one, and the manifests. */
export function smallFiles(
  reference: Reference,
  resolved: ResolvedImage,
): readonly { readonly name: string; readonly bytes: Uint8Array }[] {
  return [
    ...layoutFiles({ reference, ...resolved }).map(({ name, text }) => ({ name, bytes: Buffer.from(text) })),
    ...resolved.manifests.map(({ bytes, digest }) => ({ name: blobFile(digest), bytes })),
  ];
}

/** Makes the daemon fetch a blob, which goes on without a reader. Whatever goes wrong, its turn to be read will tell. */
async function readFirstByte(source: BlobSource, request: BlobRequest, signal: AbortSignal): Promise<void> {
  try {
    await readWhole(source.open({ ...request, range: { start: 0, end: 1 } }, { signal }));
  } catch {
    // Told when the whole blob is read.
  }
}
