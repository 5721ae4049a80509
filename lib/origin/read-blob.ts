import { DamselflyError } from '../core/errors.ts';
import { askAsReader } from './ask-as-reader.ts';
import { discard } from './exchange.ts';
import {
  type BlobBody,
  type BlobRead,
  definitelyBroken,
  type OriginResponse,
  requireKnownSize,
} from './origin-client.ts';
import type { Registry } from './registry.ts';

/** Reads from a registry. Contract: `OriginClient.readBlob`. */
export async function readBlob(registry: Registry, read: BlobRead, signal: AbortSignal): Promise<BlobBody> {
  const response = await askAsReader(
    registry,
    {
      kind: 'blob',
      path: `/v2/${read.origin.repository}/blobs/${read.digest}`,
      headers: { accept: '*/*', ...rangeHeader(read) },
      origin: read.origin,
    },
    signal,
  );
  try {
    const body = blobBody(response, read);
    requireKnownSize(read, body.size);
    return body;
  } catch (error) {
    await discard(response);
    throw error;
  }
}

/** Range header of a read; none for all of it. */
export function rangeHeader({ start = 0, end }: BlobRead): Record<string, string> {
  // An empty range cannot be written as a header; the registry then sends more, which is not read.
  if ((start === 0 && end === undefined) || (end !== undefined && end <= start)) return {};
  return { range: `bytes=${start}-${end === undefined ? '' : end - 1}` };
}

/** The bytes asked for, from the answer to them. @throws UPSTREAM_BROKEN */
export function blobBody(response: OriginResponse, { start = 0, end, digest }: BlobRead): BlobBody {
  const encoding = response.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw definitelyBroken('the registry encoded a blob (Content-Encoding), though it was asked not to', {
      digest,
    });
  }
  const length = contentLength(response);
  if (response.status === 200) {
    if (length === undefined) {
      throw definitelyBroken('the registry does not say how long a blob is', { digest });
    }
    const wanted = { skip: start, bytes: Math.max(0, Math.min(end ?? length, length) - start) };
    return { size: length, whole: true, bytes: exactly(response.body, wanted, digest) };
  }
  const part = contentRangeOf(response);
  if (part === undefined || part.start !== start || part.end !== Math.min(end ?? part.size, part.size)) {
    throw definitelyBroken('the registry answered another range than it was asked for', {
      digest,
      start,
      end,
    });
  }
  if (length !== undefined && length !== part.end - part.start) {
    throw definitelyBroken('the Content-Length of a partial answer does not fit its Content-Range', {
      digest,
      start,
      end,
    });
  }
  return {
    size: part.size,
    whole: false,
    bytes: exactly(response.body, { skip: 0, bytes: part.end - part.start }, digest),
  };
}

/** Exactly `bytes` bytes after the first `skip`; whatever follows them in a whole blob is not read. */
async function* exactly(
  body: AsyncIterable<Uint8Array>,
  { skip, bytes }: { readonly skip: number; readonly bytes: number },
  digest: string,
): AsyncGenerator<Uint8Array> {
  let toSkip = skip;
  let left = bytes;
  for await (const chunk of body) {
    const from = Math.min(toSkip, chunk.length);
    toSkip -= from;
    const part = chunk.subarray(from, from + left);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0) return;
  }
  if (left === 0) return;
  throw new DamselflyError('UPSTREAM_BROKEN', 'the registry sent fewer bytes of a blob than it promised', {
    digest,
    missing: left,
  });
}

function contentLength(response: OriginResponse): number | undefined {
  const value = response.headers['content-length'];
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

function contentRangeOf(response: OriginResponse): { start: number; end: number; size: number } | undefined {
  const value = response.headers['content-range'];
  const match = typeof value === 'string' ? /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(value) : null;
  if (match === null) return undefined;
  const [start = 0, last = 0, size = 0] = match.slice(1).map(Number);
  return last < start || last >= size ? undefined : { start, end: last + 1, size };
}
