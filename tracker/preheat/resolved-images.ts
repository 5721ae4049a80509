import { isDigest } from '../../lib/core/digest.ts';
import { formatReference } from '../../lib/oci/reference.ts';
import { MAX_PREHEAT_MANIFESTS, type PreheatReport } from '../../lib/wire/preheat-messages.ts';
import type { Job } from './job.ts';

type Resolved = Extract<PreheatReport, { readonly type: 'preheat-resolved' }>;

/** One more image that the wish stands for: blobs that an image before it has too are fetched once. */
export function addImage(job: Job, image: NonNullable<Resolved['image']>): void {
  const { registry, repository } = job.wish.reference;
  const named = isDigest(image.reference) ? { digest: image.reference } : { tag: image.reference };
  job.images.push({ image: formatReference({ registry, repository, ...named }), digest: image.digest });
  const first = job.manifests.length;
  job.manifests.push(...(image.manifests ?? []).slice(0, MAX_PREHEAT_MANIFESTS - first));
  const known = new Set(job.blobs.map(({ digest }) => digest));
  for (const { digest, listedBy, size } of image.blobs) {
    if (known.has(digest)) continue;
    const index = listedBy === undefined ? job.manifests.length : first + listedBy;
    job.blobs.push({ digest, size, ...(index < job.manifests.length ? { listedBy: index } : {}) });
  }
}

/** What was told so far is told anew. */
export function forgetImages(job: Job): void {
  job.images = [];
  job.blobs = [];
  job.manifests = [];
}
