import type { BlobRequest } from '../../../lib/core/blob-source.ts';

/**
 * What is left of a request whose reader has had so many bytes; undefined when nothing is. Who reads to the end of a blob
 * from its beginning has all of it then: the rest waits for the digest too.
 */
export function restOf(request: BlobRequest, sentBytes: number): BlobRequest | undefined {
  if (sentBytes === 0) return request;
  const { range = { start: 0, end: request.size }, rangeIs, ...blob } = request;
  const start = range.start + sentBytes;
  if (start >= range.end) return undefined;
  const endsWhole = range.end === request.size && (range.start === 0 || rangeIs === 'rest');
  return { ...blob, range: { start, end: range.end }, rangeIs: endsWhole ? 'rest' : 'part' };
}
