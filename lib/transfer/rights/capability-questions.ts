import { type Digest, digestAlgorithm, digestOf, isFileKey } from '../../core/digest.ts';
import { DamselflyError, hasCode } from '../../core/errors.ts';
import { MAX_MANIFEST_BYTES } from '../../oci/manifest.ts';
import { MANIFEST_ACCEPT } from '../../oci/media-types.ts';
import { vouchedBlobs } from '../../oci/vouched-blobs.ts';
import { askFile } from '../../origin/ask-file.ts';
import { discard, readBody } from '../../origin/exchange.ts';
import { fileKey } from '../../origin/file.ts';
import { isWorthRetrying, type OriginClient } from '../../origin/origin-client.ts';
import { MAX_CAPABILITY_BLOBS } from '../../security/capability.ts';
import type { CapabilityQuestion } from '../../wire/capability-codec.ts';

/* What a supernode asks registries and sources before it says in writing that somebody may read, with what the caller shows. */

/** A yes. */
export interface Allowed {
  /** Of a blob, bytes. */
  readonly size?: number;
}

export interface Manifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** Those that whoever may read it may read. */
  readonly blobs: readonly Digest[];
}

export type Asked = Exclude<CapabilityQuestion, { readonly renew: string }>;

type Origin = Pick<OriginClient, 'request'>;

/** @returns undefined for no */
export async function blobAllowed(
  origin: Origin,
  { blob, repository, upstream, ...rights }: Asked & { readonly blob: Digest },
  signal: AbortSignal,
): Promise<Allowed | undefined> {
  // A key belongs to one upstream, whose source alone says who reads it.
  if (isFileKey(blob)) return undefined;
  const path = `/v2/${repository}/blobs/${blob}`;
  const headers = rightsIn(rights);
  const answer = await origin.request({ upstream, method: 'HEAD', path, headers }, { signal });
  await discard(answer);
  requireVerdict(answer.status, upstream);
  const size = Number(answer.headers['content-length'] ?? Number.NaN);
  if (answer.status !== 200) return undefined;
  return Number.isSafeInteger(size) && size >= 0 ? { size } : {};
}

/** Of a GET also the bytes, when it is a yes. */
export async function askForManifest(
  origin: Origin,
  { manifest, repository, upstream, ...rights }: Asked & { readonly manifest: Digest },
  method: 'GET' | 'HEAD',
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly bytes?: Uint8Array; readonly mediaType: string }> {
  const path = `/v2/${repository}/manifests/${manifest}`;
  const headers = { ...rightsIn(rights), accept: MANIFEST_ACCEPT };
  const answer = await origin.request({ upstream, method, path, headers }, { signal });
  const { status } = answer;
  const mediaType = String(answer.headers['content-type'] ?? '');
  if (status === 200 && method === 'GET') {
    return { status, mediaType, bytes: await readBody(answer, MAX_MANIFEST_BYTES) };
  }
  await discard(answer);
  requireVerdict(status, upstream);
  return { status, mediaType };
}

/** Neither yes nor no. @throws UPSTREAM_REFUSED */
function requireVerdict(status: number, upstream: string): void {
  const error = new DamselflyError('UPSTREAM_REFUSED', `the registry answered ${status}`, {
    status,
    upstream,
  });
  if (isWorthRetrying(error)) throw error;
}

/**
 * Whether the source lets the caller read the file that has this key: the key is made anew from its answer. What goes by a
 * digest instead gets no yes: that an address has just those bytes only who reads them all could tell.
 */
export async function fileAllowed(
  origin: Origin,
  asked: Asked,
  signal: AbortSignal,
): Promise<Allowed | undefined> {
  if (!('blob' in asked) || !isFileKey(asked.blob)) return undefined;
  try {
    const facts = await askFile(origin, asked, signal);
    const { size } = facts;
    return size !== undefined && fileKey(asked, facts) === asked.blob ? { size } : undefined;
  } catch (error) {
    if (hasCode(error, 'UPSTREAM_REFUSED') && !isWorthRetrying(error)) return undefined;
    throw error;
  }
}

/** A manifest as the registry sent it; undefined when it is not the one that was asked for. */
export function manifestIn(bytes: Uint8Array, digest: Digest, mediaType: string): Manifest | undefined {
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined;
  try {
    const blobs = [...new Set(vouchedBlobs(bytes).map((blob) => blob.digest))];
    return { bytes, mediaType, blobs: blobs.length > MAX_CAPABILITY_BLOBS ? [] : blobs };
  } catch {
    return undefined;
  }
}

/** Headers of the question: who asks, and which trace it belongs to. */
function rightsIn({
  authorization,
  traceparent,
}: Pick<Asked, 'authorization' | 'traceparent'>): Readonly<Record<string, string>> {
  return {
    ...(authorization === undefined ? {} : { authorization }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
