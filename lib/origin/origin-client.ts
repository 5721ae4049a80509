import type { Digest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';

/** Reads from registries, one method a need. Knows upstreams by name; follows redirects; never leaks credentials. */
export interface OriginClient {
  /** Names of the configured upstreams. */
  readonly upstreams: readonly string[];
  /**
   * One HTTP exchange with the registry under the caller's own rights, redirects followed, for the registry proxy to
   * relay. `path` starts with `/v2/`. The status is the registry's, whatever it is.
   * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, ABORTED
   */
  request(request: OriginRequest, options: { readonly signal: AbortSignal }): Promise<OriginResponse>;
  /**
   * The bytes of a blob from `start` (to `end`, exclusive) on, with the caller's Authorization or, without one, the
   * credentials configured for the upstream (answering its Bearer or Basic challenge).
   * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_REFUSED (`facts.status`), UPSTREAM_BROKEN, ABORTED
   */
  readBlob(read: BlobRead, options: { readonly signal: AbortSignal }): Promise<BlobBody>;
  /**
   * A manifest by tag or digest, with the same rights as {@link readBlob}; one asked for by digest has been verified.
   * @throws as readBlob
   */
  readManifest(read: ManifestRead, options: { readonly signal: AbortSignal }): Promise<ManifestBody>;
  close(): Promise<void>;
}

export interface ManifestRead {
  readonly origin: BlobOrigin;
  /** Tag or digest. */
  readonly reference: string;
}

export interface ManifestBody {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string;
}

/** Whether the same read may succeed a moment later: the registry was away, broke off, or was overloaded. */
export function isWorthRetrying(error: unknown): boolean {
  if (!(error instanceof DamselflyError)) return false;
  if (error.code === 'UPSTREAM_UNREACHABLE' || error.code === 'UPSTREAM_BROKEN') return true;
  const status = Number(error.facts['status'] ?? 0);
  return error.code === 'UPSTREAM_REFUSED' && (status >= 500 || status === 429 || status === 408);
}

export interface OriginRequest {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body?: AsyncIterable<Uint8Array>;
}

export interface OriginResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Must be read to its end or destroyed by leaving the loop. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface BlobRead {
  readonly origin: BlobOrigin;
  readonly digest: Digest;
  /** First byte wanted; default 0. */
  readonly start?: number;
  /** End of the wanted bytes, exclusive; default: the end of the blob. */
  readonly end?: number;
}

export interface BlobBody {
  /** Size of the whole blob. */
  readonly size: number;
  /** Exactly the bytes asked for, in order; throws UPSTREAM_BROKEN when the registry sends fewer or more. */
  readonly bytes: AsyncIterable<Uint8Array>;
}
