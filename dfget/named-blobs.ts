import { isBlobKey } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { listedBlobs } from '../lib/oci/archive/image-layout.ts';
import { formatReference, parseReference } from '../lib/oci/reference.ts';
import { ALL_PLATFORMS, resolveImage } from '../lib/origin/resolve-image.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { CacheListing } from './local-protocol.ts';

/** What a name on the command line means. */
export interface NamedBlobs {
  readonly digests: readonly string[];
  /** The imported image of that name. */
  readonly image?: string;
}

/** Enough of a digest to be meant as one. */
const PREFIX = /^(sha256|sha512):[0-9a-f]{6,}$/;

/** Whether it is meant as a digest, or the beginning of one. */
export function isDigestPrefix(name: string): boolean {
  return PREFIX.test(name);
}

/**
 * The blobs that a digest, the beginning of one, or an image names. An image that was imported is what it was then; of
 * any other the registry says what it is made of, for all platforms.
 * @throws BLOB_UNKNOWN, REFERENCE_INVALID, UPSTREAM_*, DAEMON_UNREACHABLE, ABORTED
 */
export async function blobsNamed(
  client: DaemonClient,
  { blobs, images }: CacheListing,
  name: string,
  signal: AbortSignal,
): Promise<NamedBlobs> {
  if (isBlobKey(name)) return { digests: [name] };
  if (isDigestPrefix(name)) {
    const meant = blobs.filter(({ digest }) => digest.startsWith(name)).map(({ digest }) => digest);
    if (meant.length === 1) return { digests: meant };
    const why = meant.length === 0 ? 'no blob begins so' : `${meant.length} blobs begin so: write more of it`;
    throw new DamselflyError('BLOB_UNKNOWN', `${name}: ${why}`);
  }
  const reference = parseReference(name);
  const image = formatReference(reference);
  const imported = images.find((each) => each.image === image);
  if (imported !== undefined) {
    return { digests: [...imported.manifests, ...imported.blobs].map(({ digest }) => digest), image };
  }
  const { manifests } = await resolveImage(client, reference, ALL_PLATFORMS, signal);
  return { digests: listedBlobs(manifests).map(({ digest }) => digest) };
}
