import type { Digest } from '../core/digest.ts';
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
  close(): Promise<void>;
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
