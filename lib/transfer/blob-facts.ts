import type { BlobRequest } from '../core/blob-source.ts';
import type { BlobOrigin } from '../core/node.ts';
import type { SpanFacts } from '../observe/spans.ts';
import { isFileLocator } from '../origin/file.ts';

/** What spans say of a blob. The locator of a file is its URL and more, which may be secret. */
export function blobFacts(
  { digest, size }: Pick<BlobRequest, 'digest' | 'size'>,
  { repository, upstream }: BlobOrigin,
): SpanFacts {
  return {
    'damselfly.blob.digest': digest,
    'damselfly.blob.size': size,
    'damselfly.upstream': upstream,
    ...(isFileLocator(repository) ? {} : { 'damselfly.repository': repository }),
  };
}
