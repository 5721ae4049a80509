import type { BlobSource } from '../lib/core/blob-source.ts';
import { createBlobHasher, type Digest, digestAlgorithm, parseDigest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { type Descriptor, type Manifest, parseManifest } from '../lib/oci/manifest.ts';
import { isForeignLayer } from '../lib/oci/media-types.ts';
import { choosePlatform, formatPlatform, machinePlatform, parsePlatform } from '../lib/oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../lib/oci/reference.ts';

/** Where manifests come from: the daemon, which asks the registry. */
export interface ManifestSource {
  manifest(
    query: { readonly upstream: string; readonly repository: string; readonly reference: string },
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly digest: string }>;
}

export interface PullEvents {
  blobStarted(digest: Digest, size: number): void;
  blobAdvanced(digest: Digest, bytes: number): void;
  blobDone(digest: Digest): void;
}

export interface PulledImage {
  /** Full reference. */
  readonly image: string;
  /** Of the image's own manifest. */
  readonly digest: Digest;
  readonly blobs: number;
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
  wanted: { readonly image: string; readonly platform?: string },
  events: PullEvents,
  signal: AbortSignal,
): Promise<PulledImage> {
  const reference = parseReference(wanted.image);
  const { digest, manifest } = await resolve(source, reference, wanted.platform, signal);
  const seen = new Set<string>();
  const blobs = [...(manifest.config === undefined ? [] : [manifest.config]), ...manifest.layers].filter(
    (descriptor) =>
      !isForeignLayer(descriptor.mediaType) && !seen.has(descriptor.digest) && seen.add(descriptor.digest),
  );
  const origin = { upstream: reference.registry, repository: reference.repository };
  const queue = [...blobs];
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const worker = async (): Promise<void> => {
    for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
      await readBlob(source, blob, origin, events, either);
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL_BLOBS }, worker));
  } catch (error) {
    stop.abort(error);
    throw error;
  }
  const bytes = blobs.reduce((sum, blob) => sum + blob.size, 0);
  return { image: formatReference(reference), digest, blobs: blobs.length, bytes };
}

async function readBlob(
  source: BlobSource,
  { digest, size }: Descriptor,
  origin: { readonly upstream: string; readonly repository: string },
  events: PullEvents,
  signal: AbortSignal,
): Promise<void> {
  const hasher = createBlobHasher(digestAlgorithm(digest));
  events.blobStarted(digest, size);
  for await (const chunk of source.open({ digest, size, origin }, { signal })) {
    hasher.update(chunk);
    events.blobAdvanced(digest, chunk.length);
  }
  const actual = hasher.digest();
  if (actual !== digest) {
    throw new DamselflyError('DIGEST_MISMATCH', 'a blob arrived with other bytes', {
      expected: digest,
      actual,
    });
  }
  events.blobDone(digest);
}

/** The manifest of one image: the reference's own, or the right one of its index. */
async function resolve(
  source: ManifestSource,
  { digest, registry, repository, tag }: Reference,
  platform: string | undefined,
  signal: AbortSignal,
): Promise<{ digest: Digest; manifest: Extract<Manifest, { kind: 'image' }> }> {
  const read = async (reference: string) => {
    const answer = await source.manifest({ upstream: registry, repository, reference }, signal);
    return { digest: parseDigest(answer.digest), manifest: parseManifest(answer.bytes) };
  };
  const top = await read(digest ?? tag ?? 'latest');
  if (top.manifest.kind === 'image') return { digest: top.digest, manifest: top.manifest };
  if (top.manifest.kind === 'index') {
    const wanted = platform === undefined ? machinePlatform() : parsePlatform(platform);
    const chosen = choosePlatform(top.manifest.manifests, wanted);
    if (chosen === undefined) {
      const offered = top.manifest.manifests.flatMap((each) =>
        each.platform ? [formatPlatform(each.platform)] : [],
      );
      throw new DamselflyError(
        'REFERENCE_INVALID',
        `the image is not offered for ${formatPlatform(wanted)}; choose with --platform among ${offered.join(', ')}`,
      );
    }
    const child = await read(chosen.digest);
    if (child.manifest.kind === 'image') return { digest: child.digest, manifest: child.manifest };
  }
  throw new DamselflyError('REFERENCE_INVALID', 'the reference names something that is not an image');
}
