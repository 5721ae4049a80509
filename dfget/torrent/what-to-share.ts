import { digestAlgorithm, digestHex, parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { blobFile, listedBlobs } from '../../lib/oci/archive/image-layout.ts';
import { ARCHIVE_END, archiveHeader, archivePadding } from '../../lib/oci/archive/pack.ts';
import { formatReference, parseReference } from '../../lib/oci/reference.ts';
import { resolveImage, type WantedPlatform } from '../../lib/origin/resolve-image.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { blobsNamed } from '../named-blobs.ts';
import { smallFiles } from '../save-image.ts';
import type { PartToShare, ShareRequest } from './share-protocol.ts';

/**
 * What a digest or an image stands for as one file: the blob, or the archive that `dfget pull -o` writes, byte for byte.
 * @throws BLOB_UNKNOWN when some of it is not in the store; REFERENCE_INVALID, UPSTREAM_*, DAEMON_UNREACHABLE, ABORTED
 */
export async function whatToShare(
  client: DaemonClient,
  name: string,
  platform: WantedPlatform,
  signal: AbortSignal,
): Promise<ShareRequest> {
  const listing = await client.cache(signal);
  const held = new Map(listing.blobs.flatMap((blob) => (blob.complete ? [[blob.digest, blob.size]] : [])));
  if (/^sha(256|512):/.test(name)) {
    const [text = ''] = (await blobsNamed(client, listing, name, signal)).digests;
    const digest = parseDigest(text);
    const size = held.get(digest);
    if (size === undefined) throw absent(`${digest} is not in the store, or not whole`);
    const file = `${digestAlgorithm(digest)}-${digestHex(digest)}`;
    return { source: digest, name: file, parts: [{ digest, size }] };
  }
  const reference = parseReference(name);
  const resolved = await resolveImage(client, reference, platform, signal);
  const blobs = listedBlobs(resolved.manifests);
  const missing = blobs.filter(({ digest, size }) => size > 0 && held.get(digest) !== size).length;
  if (missing > 0) {
    const message = `${missing} of ${blobs.length} blobs of the image are not in the store: bring them with "dfget pull ${name}"`;
    throw absent(message);
  }
  const parts: PartToShare[] = [];
  const add = (...bytes: readonly Uint8Array[]): void =>
    void parts.push({ bytes: Buffer.concat(bytes).toString('base64') });
  for (const { bytes, name: file } of smallFiles(reference, resolved)) {
    add(await archiveHeader({ name: file, size: bytes.length }), bytes, archivePadding(bytes.length));
  }
  for (const { digest, size } of blobs) {
    add(await archiveHeader({ name: blobFile(digest), size }));
    if (size > 0) parts.push({ digest, size });
    add(archivePadding(size));
  }
  add(ARCHIVE_END);
  const { repository, tag = 'image' } = reference;
  const { digest } = resolved.root;
  return {
    source: `${formatReference(reference)}@${digest}`.replace(/(@sha\d+:[0-9a-f]+)@.*/, '$1'),
    name: `${repository.split('/').at(-1) ?? 'image'}-${tag}.tar`,
    parts,
  };
}

function absent(message: string): DamselflyError {
  return new DamselflyError('BLOB_UNKNOWN', message);
}
