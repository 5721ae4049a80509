import type { Digest } from '../core/digest.ts';
import { DamselflyError, type Facts } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';

/** Reads from registries, one method a need. Knows upstreams by name; follows redirects; never leaks credentials. */
export interface OriginClient {
  /** Names of the configured upstreams; some may be patterns, as `findUpstreamName` takes them. */
  readonly upstreams: readonly string[];
  /**
   * Whose rights {@link request} reads with. `caller`: the caller's, and nobody's when it sent no Authorization. `node`:
   * the caller's or, when it sent none, the credentials configured for the upstream.
   * @throws UPSTREAM_UNKNOWN
   */
  trust(upstream: string): 'caller' | 'node';
  /**
   * Whether the Authorization is a signed token that by itself proves the right to pull from the repository now, where
   * the upstream says whose tokens do (`verify: jwt`). False means only that the registry has to be asked.
   * @throws UPSTREAM_UNKNOWN
   */
  provesRight(right: {
    readonly upstream: string;
    readonly repository: string;
    readonly authorization: string;
    /** Milliseconds since the epoch. */
    readonly wallMs: number;
  }): boolean;
  /**
   * One HTTP exchange with the registry, under the rights that {@link trust} tells, redirects followed, for the registry
   * proxy to relay. `path` starts with `/v2/`, or is a file's. The status is the registry's, whatever it is; a 429 or 503 has then been
   * asked again for up to 4 s.
   * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, ABORTED
   */
  request(request: OriginRequest, options: { readonly signal: AbortSignal }): Promise<OriginResponse>;
  /**
   * The bytes of a blob, or of a file (`lib/origin/file.ts`), from `start` (to `end`, exclusive) on, with the newest Authorization of the caller. Whoever asks
   * has had the right to read checked already: when that Authorization has run out meanwhile (401), or there is none,
   * the bytes are read from where the registry last sent us, or with the credentials configured for the upstream.
   * @throws UPSTREAM_UNKNOWN, UPSTREAM_UNREACHABLE, UPSTREAM_REFUSED (`facts.status`), UPSTREAM_BROKEN, ABORTED
   */
  readBlob(read: BlobRead, options: { readonly signal: AbortSignal }): Promise<BlobBody>;
  /**
   * A manifest by tag or digest, with the same rights as {@link readBlob}; one asked for by digest has been verified.
   * @throws as readBlob
   */
  readManifest(read: ManifestRead, options: { readonly signal: AbortSignal }): Promise<ManifestBody>;
  /**
   * Whether the registry gives a blob to whoever asks, without any account. False also when that cannot be asked: where
   * we have an account and tokens are given to accounts, and where our connection says who we are.
   * @throws as {@link request}
   */
  isPublic(
    blob: Pick<BlobRead, 'digest' | 'origin'>,
    options: { readonly signal: AbortSignal },
  ): Promise<boolean>;
  /**
   * The Authorization that answers the registry's challenge on our own account, for a blob that we ourselves want: without
   * credentials the token that some registries give to anybody, as container clients show it. Undefined
   * where the registry wants none, and under `trust: node`, where every member reads with its own. A secret.
   * @throws as {@link request}
   */
  ownAuthorization(
    blob: Pick<BlobRead, 'digest' | 'origin'>,
    options: { readonly signal: AbortSignal },
  ): Promise<string | undefined>;
  /** The names of all tags of a repository, with the same rights as {@link readBlob}. @throws as readBlob */
  readTags(origin: BlobOrigin, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
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

/** Attempts in a row without a new byte before a read is given up. */
const ATTEMPTS = 5;
/** The same when the registry's answer was wrong from its head on: it may be one bad machine of many, hardly more. */
const DEFINITE_ATTEMPTS = 2;

/** How many attempts in a row may end with this error before a read of a blob is given up. */
export function attemptsWorth(error: unknown): number {
  if (!isWorthRetrying(error)) return 1;
  return error instanceof DamselflyError && error.facts['definite'] === true ? DEFINITE_ATTEMPTS : ATTEMPTS;
}

/** An answer that is wrong from its head on, and was not merely broken off. */
export function definitelyBroken(message: string, facts: Facts): DamselflyError {
  return new DamselflyError('UPSTREAM_BROKEN', message, { ...facts, definite: true });
}

export interface OriginRequest {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Names of headers that no other host is shown, besides Authorization and Cookie. */
  readonly secret?: readonly string[];
  readonly body?: AsyncIterable<Uint8Array>;
}

export interface OriginResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Must be read to its end or destroyed by leaving the loop. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Where it came from, when the registry sent us to another host. A secret: such addresses are signed. */
  readonly storage?: URL;
}

export interface BlobRead {
  readonly origin: BlobOrigin;
  readonly digest: Digest;
  /** First byte wanted; default 0. */
  readonly start?: number;
  /** End of the wanted bytes, exclusive; default: the end of the blob. */
  readonly end?: number;
  /** Of the whole blob, where it is known: a registry that tells another one is not read (UPSTREAM_BROKEN). */
  readonly size?: number;
}

/** @throws UPSTREAM_BROKEN when the registry has the blob with another size than the one that the reader knows */
export function requireKnownSize({ digest, size }: BlobRead, told: number): void {
  if (size === undefined || size === told) return;
  throw definitelyBroken('the registry has the blob with another size', { digest, size, told });
}

export interface BlobBody {
  /** Size of the whole blob. */
  readonly size: number;
  /** The registry sends all of the blob: had a part been asked for, what is before it costs as much. */
  readonly whole: boolean;
  /** Where it does not come from the registry but from where it was kept: what each piece must be. */
  readonly kept?: KeptPieces | undefined;
  /** Exactly the bytes asked for, in order; throws UPSTREAM_BROKEN when the registry sends fewer or more. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

export interface KeptPieces {
  /** SHA-256 of the piece. */
  hash(index: number): Uint8Array;
  /** A piece was another: what is kept is not used any more. */
  wrong(): void;
}
