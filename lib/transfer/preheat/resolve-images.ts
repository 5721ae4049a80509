import { isDigest } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';
import { listedBlobs } from '../../oci/archive/image-layout.ts';
import type { Reference } from '../../oci/reference.ts';
import { fitsTagPattern } from '../../oci/tag-pattern.ts';
import type { OriginClient } from '../../origin/origin-client.ts';
import { type ManifestSource, resolveImage } from '../../origin/resolve-image.ts';
import {
  MAX_PREHEAT_BLOBS,
  MAX_PREHEAT_IMAGES,
  MAX_PREHEAT_MANIFESTS,
  type PreheatBlob,
  type PreheatMessage,
} from '../../wire/preheat-messages.ts';

export type ResolveOrder = Extract<PreheatMessage, { readonly type: 'preheat-resolve' }>;
export type Resolved = NonNullable<Extract<PreheatMessage, { readonly type: 'preheat-resolved' }>['image']>;

/**
 * What the images of an order are made of: each with the blobs of all platforms that are wanted.
 * @throws UPSTREAM_*, REFERENCE_INVALID, CONFIG_INVALID, BLOB_UNKNOWN when no tag fits, ABORTED
 */
export async function resolveImages(
  origin: Pick<OriginClient, 'readManifest' | 'readTags'>,
  order: ResolveOrder,
  signal: AbortSignal,
): Promise<readonly Resolved[]> {
  const { authorization, platforms, reference, repository, upstream } = order;
  const place = { upstream, repository, ...(authorization === undefined ? {} : { authorization }) };
  const source: ManifestSource = {
    manifest: (query, signal) =>
      origin.readManifest({ origin: place, reference: query.reference }, { signal }),
  };
  const references = reference === undefined ? await fittingTags(origin, order, place, signal) : [reference];
  const images: Resolved[] = [];
  let count = 0;
  for (const each of references) {
    const wanted: Reference = {
      registry: upstream,
      repository,
      ...(isDigest(each) ? { digest: each } : { tag: each }),
    };
    const blobs = new Map<string, PreheatBlob>();
    const listing: Resolved['digest'][] = [];
    let digest: Resolved['digest'] | undefined;
    for (const platform of platforms.length === 0 ? [undefined] : platforms) {
      const { manifests, root } = await resolveImage(source, wanted, platform, signal);
      digest ??= root.digest;
      for (const manifest of manifests) {
        const news = listedBlobs([manifest]).filter((blob) => !blobs.has(blob.digest));
        if (news.length === 0) continue;
        const listedBy = listing.length < MAX_PREHEAT_MANIFESTS ? { listedBy: listing.length } : {};
        if (listing.length < MAX_PREHEAT_MANIFESTS) listing.push(manifest.digest);
        for (const { digest, size } of news) blobs.set(digest, { digest, size, ...listedBy });
      }
    }
    if (digest === undefined) continue;
    count += blobs.size;
    if (count > MAX_PREHEAT_BLOBS) throw tooMany(`more than ${MAX_PREHEAT_BLOBS} blobs`);
    images.push({ reference: each, digest, blobs: [...blobs.values()], manifests: listing });
  }
  return images;
}

async function fittingTags(
  origin: Pick<OriginClient, 'readTags'>,
  { repository, tags = '*' }: ResolveOrder,
  place: Parameters<OriginClient['readTags']>[0],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const fitting = (await origin.readTags(place, { signal })).filter((tag) => fitsTagPattern(tags, tag));
  if (fitting.length === 0) {
    throw new DamselflyError('BLOB_UNKNOWN', `no tag of ${repository} fits ${tags}`);
  }
  if (fitting.length > MAX_PREHEAT_IMAGES) throw tooMany(`${fitting.length} images`);
  return fitting;
}

function tooMany(what: string): DamselflyError {
  const message = `${what} in one job: make several of it (at most ${MAX_PREHEAT_IMAGES} images and ${MAX_PREHEAT_BLOBS} blobs each)`;
  return new DamselflyError('REFERENCE_INVALID', message);
}
