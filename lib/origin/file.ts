import { type Digest, digestOf } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { HOP_BY_HOP } from '../core/hop-by-hop.ts';
import type { BlobOrigin } from '../core/node.ts';
import type { OriginResponse } from './origin-client.ts';

/*
 * Files at any URL, as blobs. Where a registry's blob has a repository, a file has a locator: the path and query of its URL,
 * which begin with a slash as no repository does, and behind a `#` what else is to tell it from others. What a caller adds
 * for the source alone, headers and the query parameters that do not tell files apart, are its rights: they travel where the
 * Authorization of a registry's caller does.
 */

/** What a caller shows the source, and nobody else. Secrets. */
export interface FileRights {
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The query as the caller has it, with the parameters that the locator leaves out: `?a=1&signature=…`. */
  readonly query?: string;
}

/** What a source says of a file; a key is made of it. */
export interface FileFacts {
  /** Of the whole file, bytes; undefined when the source does not say. */
  readonly size: number | undefined;
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

/** What we decide ourselves, or what belongs to one connection. */
const OWN_HEADERS = new Set<string>([
  ...HOP_BY_HOP,
  ...['accept-encoding', 'content-length', 'expect', 'host', 'range'],
  ...['if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since'],
]);
const SCHEME = 'Damselfly-File ';

/** Whether the place of a blob is a file's and no repository. */
export function isFileLocator(repository: string): boolean {
  return repository.startsWith('/');
}

/**
 * Where a file is and what a caller shows for it, from its URL as the caller has it.
 * @param filtered names of query parameters that do not tell files apart
 * @param identifier tells it from the same file for another purpose
 * @throws CONFIG_INVALID for headers that cannot be sent
 */
export function fileOrigin(
  url: URL,
  upstream: string,
  { filtered = [], headers = {}, identifier = '' }: FileQuestion,
): BlobOrigin {
  const kept = withoutParameters(url.search, filtered);
  const place = new URL(url);
  place.search = kept;
  place.hash = identifier;
  const rights: FileRights = {
    headers: sentHeaders(headers),
    ...(kept === url.search ? {} : { query: url.search }),
  };
  const none = Object.keys(rights.headers).length === 0 && rights.query === undefined;
  const repository = `${place.pathname}${place.search}${place.hash}`;
  return { upstream, repository, ...(none ? {} : { authorization: encodeRights(rights) }) };
}

export interface FileQuestion {
  readonly filtered?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly identifier?: string | undefined;
}

/** A GET of the file for whoever has these rights: path with query, headers, and which of those are the source's alone. */
export function fileRequest({ authorization, repository }: BlobOrigin): {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly secret: readonly string[];
} {
  const place = URL.parse(`http://source${repository}`);
  // Whatever a URL would not keep as it is might lead out of what the upstream allows.
  if (place === null || `${place.pathname}${place.search}${place.hash}` !== repository) {
    throw new DamselflyError('UPSTREAM_REFUSED', 'not the path of a file', { status: 400 });
  }
  const { headers, query = place.search } = decodeRights(authorization);
  return { path: `${place.pathname}${query}`, headers, secret: Object.keys(headers) };
}

/** What an answer to a GET, with or without Range, says of the whole file. */
export function fileFacts({ headers, status }: Pick<OriginResponse, 'headers' | 'status'>): FileFacts {
  const text = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const told = status === 200 ? text('content-length') : /\/(\d+)$/.exec(text('content-range') ?? '')?.[1];
  const encoded = (text('content-encoding') ?? 'identity') !== 'identity';
  const size = told === undefined || encoded || !/^\d{1,15}$/.test(told) ? undefined : Number(told);
  return { size, etag: text('etag'), lastModified: text('last-modified') };
}

/**
 * The name under which store and swarm have a file whose digest nobody knows. It changes when the source says that the file
 * did: by a strong ETag, or by Last-Modified and size. Undefined when the source says too little to notice.
 */
export function fileKey(
  { repository, upstream }: Pick<BlobOrigin, 'repository' | 'upstream'>,
  { etag, lastModified, size }: FileFacts,
): Digest | undefined {
  const strong = etag !== undefined && !etag.startsWith('W/');
  if (size === undefined || (!strong && lastModified === undefined)) return undefined;
  const known = JSON.stringify([upstream, repository, etag ?? '', lastModified ?? '', size]);
  return digestOf(Buffer.from(known)).replace('sha256', 'url') as Digest;
}

/** @throws CONFIG_INVALID */
function sentHeaders(given: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value.trim()] as const);
  for (const [name, value] of entries) {
    // The value may be a secret, and is not repeated.
    if (!isHeader(name, value)) {
      throw new DamselflyError('CONFIG_INVALID', `the header ${JSON.stringify(name)} cannot be sent`);
    }
  }
  return Object.fromEntries(entries);
}

function isHeader(name: string, value: string): boolean {
  return /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value) && !OWN_HEADERS.has(name);
}

function encodeRights(rights: FileRights): string {
  return `${SCHEME}${Buffer.from(JSON.stringify(rights)).toString('base64url')}`;
}

/** Rights come from other nodes too. @throws UPSTREAM_REFUSED */
function decodeRights(authorization: string | undefined): FileRights {
  if (authorization === undefined) return { headers: {} };
  try {
    if (!authorization.startsWith(SCHEME)) throw new Error('not the rights to a file');
    const text = Buffer.from(authorization.slice(SCHEME.length), 'base64url').toString();
    const { headers, query } = JSON.parse(text) as { headers: Record<string, unknown>; query?: unknown };
    const entries = Object.entries(headers).filter((entry): entry is [string, string] => {
      const [name, value] = entry;
      return typeof value === 'string' && isHeader(name, value);
    });
    const safe = typeof query === 'string' && /^\?[\x21-\x7e]*$/.test(query) && !query.includes('#');
    return { headers: Object.fromEntries(entries), ...(safe ? { query } : {}) };
  } catch {
    throw new DamselflyError('UPSTREAM_REFUSED', 'the rights to a file cannot be read', { status: 400 });
  }
}

/** The query without some of its parameters, all others as they are. */
function withoutParameters(search: string, names: readonly string[]): string {
  if (names.length === 0 || search === '') return search;
  const kept = search
    .slice(1)
    .split('&')
    .filter((part) => !names.includes(nameOf(part)));
  return kept.length === 0 ? '' : `?${kept.join('&')}`;
}

function nameOf(parameter: string): string {
  const [name = ''] = parameter.split('=', 1);
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    return name;
  }
}
