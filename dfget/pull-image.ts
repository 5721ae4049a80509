import type { BlobSource } from '../lib/core/blob-source.ts';
import type { Digest } from '../lib/core/digest.ts';
import { listedBlobs } from '../lib/oci/archive/image-layout.ts';
import { formatReference, parseReference } from '../lib/oci/reference.ts';
import { type ManifestSource, resolveImage, type WantedPlatform } from '../lib/origin/resolve-image.ts';
import { type BlobEvents, readChecked, readWhole } from './read-blob.ts';

export interface WantedImage {
  readonly image: string;
  readonly platform?: WantedPlatform | undefined;
}

export interface PulledImage {
  /** Full reference. */
  readonly image: string;
  /** Of the image's own manifest, or of the index when all platforms were asked for. */
  readonly digest: Digest;
  readonly blobs: number;
  /** Of all blobs together. */
  readonly bytes: number;
}

/** Blobs at a time, as container runtimes do. */
const PARALLEL_BLOBS = 3;

/**
 * Reads every blob of an image through `source` and checks each against its digest.
 * @throws REFERENCE_INVALID, UPSTREAM_*, DIGEST_MISMATCH, DAEMON_UNREACHABLE, ABORTED
 */
export async function pullImage(
  source: BlobSource & ManifestSource,
  wanted: WantedImage,
  events: BlobEvents,
  signal: AbortSignal,
): Promise<PulledImage> {
  const reference = parseReference(wanted.image);
  const { manifests, root } = await resolveImage(source, reference, wanted.platform, signal);
  const blobs = listedBlobs(manifests);
  const origin = { upstream: reference.registry, repository: reference.repository };
  const queue = [...blobs];
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const worker = async (): Promise<void> => {
    for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
      const { digest, size } = blob;
      await readWhole(readChecked(source, { digest, size, origin }, events, either));
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL_BLOBS }, worker));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  const bytes = blobs.reduce((sum, blob) => sum + blob.size, 0);
  return { image: formatReference(reference), digest: root.digest, blobs: blobs.length, bytes };
}
