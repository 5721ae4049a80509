import { DamselflyError } from '../lib/core/errors.ts';
import { listedBlobs } from '../lib/oci/archive/image-layout.ts';
import { parseReference } from '../lib/oci/reference.ts';
import { resolveImage } from '../lib/origin/resolve-image.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { PulledImage, WantedImage } from './pull-image.ts';
import type { BlobEvents } from './read-blob.ts';
import { saveImage } from './save-image.ts';

/**
 * Writes an image of the daemon's store as an archive; what is not there is not fetched.
 * @throws BLOB_UNKNOWN when a blob of it is not in the store, else as {@link saveImage}
 */
export async function exportImage(
  client: DaemonClient,
  wanted: WantedImage,
  file: string,
  events: BlobEvents,
  signal: AbortSignal,
): Promise<PulledImage> {
  const { manifests } = await resolveImage(client, parseReference(wanted.image), wanted.platform, signal);
  const held = new Set(
    (await client.cache(signal)).blobs.flatMap(({ complete, digest }) => (complete ? digest : [])),
  );
  const blobs = listedBlobs(manifests);
  const missing = blobs.filter(({ digest, size }) => size > 0 && !held.has(digest)).length;
  if (missing > 0) {
    throw new DamselflyError(
      'BLOB_UNKNOWN',
      `${missing} of ${blobs.length} blobs of the image are not in the store: bring them with "dfget pull ${wanted.image}"`,
    );
  }
  return await saveImage(client, wanted, file, events, signal);
}
