import { type Digest, digestAlgorithm, digestOf, isDigest } from '../../core/digest.ts';
import { DamselflyError } from '../../core/errors.ts';
import { contentRange, parseRange } from '../../core/range.ts';
import { blobFile } from '../../oci/archive/image-layout.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest } from '../../oci/manifest.ts';
import { isMediaType, MEDIA_TYPES, OCTET_STREAM } from '../../oci/media-types.ts';
import { isRepository } from '../../oci/names.ts';
import type { HttpRequest } from '../exchange.ts';
import type { OriginResponse } from '../origin-client.ts';
import { answerOf, noBody, refusalOf } from '../registry-answer.ts';
import { type LayoutFiles, readWhole } from './layout-files.ts';
import { isLayoutMarker, LayoutIndex } from './layout-index.ts';

/* OCI image layouts (image-spec, image-layout.md), answering as a registry does (distribution-spec, "Pull"). */

const ADDRESS = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/;
const MARKER = 'oci-layout';
const INDEX = 'index.json';
const MAX_MARKER_BYTES = 4096;

type Question = Pick<HttpRequest, 'method' | 'url' | 'headers'>;

/**
 * The answer of the layout at the top of `files`; where there is none, of the one in the folder that is called as the
 * repository.
 * @throws UPSTREAM_UNREACHABLE, UPSTREAM_BROKEN (no proper layout, or a manifest without its digest), ABORTED
 */
export async function answerFromLayout(
  files: LayoutFiles,
  { headers, method, url }: Question,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const head = method === 'HEAD';
  if (method !== 'GET' && !head) return refusalOf(405, 'UNSUPPORTED', 'images here are for reading');
  if (/^\/v2\/?$/.test(url.pathname)) {
    if (await files.exists(signal)) return answerOf(200, 'application/json', Buffer.from('{}'), head);
    throw new DamselflyError('UPSTREAM_UNREACHABLE', `there is nothing at ${files.place}`);
  }
  const [, repository = '', kind = '', name = ''] = ADDRESS.exec(url.pathname) ?? [];
  // Also what keeps a name from leading out of the folder.
  if (!isRepository(repository)) return refusalOf(404, 'NAME_INVALID', 'no such repository');
  if (kind === 'blobs') return await blobAnswer(files, { repository, name, head, headers }, signal);
  const layout = await findLayout(files, repository, signal);
  if (layout === undefined) {
    const message = `neither ${files.place} nor ${repository} in it is an OCI layout: there is no file ${MARKER}`;
    return refusalOf(404, 'NAME_UNKNOWN', message);
  }
  if (kind === 'tags') return tagsAnswer(repository, layout.index.tags(repository), url.searchParams, head);
  return await manifestAnswer(files, { ...layout, repository, name, head }, signal);
}

interface Layout {
  /** Before the names of its files. */
  readonly prefix: string;
  readonly index: LayoutIndex;
}

const prefixes = (repository: string): readonly string[] => ['', `${repository}/`];

async function findLayout(
  files: LayoutFiles,
  repository: string,
  signal: AbortSignal,
): Promise<Layout | undefined> {
  for (const prefix of prefixes(repository)) {
    const [marker, bytes] = await Promise.all([
      readWhole(files, `${prefix}${MARKER}`, MAX_MARKER_BYTES, signal),
      readWhole(files, `${prefix}${INDEX}`, MAX_MANIFEST_BYTES, signal),
    ]);
    if (marker === undefined) continue;
    if (!isLayoutMarker(marker)) throw badLayout(files, `${prefix}${MARKER}`, 'is of no version 1');
    const index = bytes && LayoutIndex.parse(bytes);
    if (index === undefined) throw badLayout(files, `${prefix}${INDEX}`, 'is missing, or no image index');
    return { prefix, index };
  }
  return undefined;
}

function badLayout({ place }: LayoutFiles, file: string, what: string): DamselflyError {
  return new DamselflyError('UPSTREAM_BROKEN', `not an OCI layout: ${file} in ${place} ${what}`, {
    definite: true,
  });
}

interface Asked {
  readonly repository: string;
  /** Tag or digest. */
  readonly name: string;
  readonly head: boolean;
}

async function blobAnswer(
  files: LayoutFiles,
  { head, headers, name, repository }: Asked & Pick<Question, 'headers'>,
  signal: AbortSignal,
): Promise<OriginResponse> {
  if (!isDigest(name)) return refusalOf(404, 'BLOB_UNKNOWN', 'not a digest that can be verified');
  for (const prefix of prefixes(repository)) {
    const file = `${prefix}${blobFile(name)}`;
    const size = await files.size(file, signal);
    if (size === undefined) continue;
    const told = { 'content-type': OCTET_STREAM, 'docker-content-digest': name, 'accept-ranges': 'bytes' };
    const asked = parseRange(typeof headers['range'] === 'string' ? headers['range'] : undefined, size);
    if (asked.kind === 'unsatisfiable') {
      return answerOf(416, OCTET_STREAM, new Uint8Array(), true, { 'content-range': `bytes */${size}` });
    }
    const range = asked.kind === 'part' ? asked.range : { start: 0, end: size };
    const body = head || size === 0 ? noBody() : files.read(file, range, signal);
    const length = { 'content-length': String(range.end - range.start) };
    if (asked.kind === 'whole') return { status: 200, headers: { ...told, ...length }, body };
    return {
      status: 206,
      headers: { ...told, ...length, 'content-range': contentRange(range, size) },
      body,
    };
  }
  return refusalOf(404, 'BLOB_UNKNOWN', `${blobFile(name)} is not in ${files.place}`);
}

async function manifestAnswer(
  files: LayoutFiles,
  { head, index, name, prefix, repository }: Asked & Layout,
  signal: AbortSignal,
): Promise<OriginResponse> {
  const listed = index.find(repository, name);
  const digest = listed?.digest ?? (isDigest(name) ? name : undefined);
  if (digest === undefined) {
    return refusalOf(404, 'MANIFEST_UNKNOWN', `index.json in ${files.place} lists no ${repository}:${name}`);
  }
  const file = `${prefix}${blobFile(digest)}`;
  const bytes = await readWhole(files, file, MAX_MANIFEST_BYTES, signal);
  if (bytes === undefined) return refusalOf(404, 'MANIFEST_UNKNOWN', `${file} is not in ${files.place}`);
  requireDigest(files, file, digest, bytes);
  const mediaType = mediaTypeOf(listed, bytes);
  // A layer or a config is no manifest.
  if (mediaType === undefined) return refusalOf(404, 'MANIFEST_UNKNOWN', `${digest} is not a manifest`);
  return answerOf(200, mediaType, bytes, head, { 'docker-content-digest': digest });
}

function requireDigest({ place }: LayoutFiles, file: string, digest: Digest, bytes: Uint8Array): void {
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual === digest) return;
  const message = `${file} in ${place} has another digest than its name`;
  throw new DamselflyError('UPSTREAM_BROKEN', message, { expected: digest, actual, definite: true });
}

/** As the index says, else as the manifest says of itself, else by its shape; undefined for what is no manifest. */
function mediaTypeOf(listed: Descriptor | undefined, bytes: Uint8Array): string | undefined {
  if (listed !== undefined && isMediaType(listed.mediaType)) return listed.mediaType;
  const manifest = parseManifest(bytes);
  if (manifest.kind === 'other') return undefined;
  if (isMediaType(manifest.mediaType)) return manifest.mediaType;
  return manifest.kind === 'index' ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest;
}

/** @param query `n` and `last` as the distribution-spec has them */
function tagsAnswer(
  repository: string,
  all: readonly string[],
  query: URLSearchParams,
  head: boolean,
): OriginResponse {
  const last = query.get('last');
  const from = last === null ? all : all.filter((tag) => tag > last);
  const n = query.get('n') ?? '';
  const tags = /^\d{1,9}$/.test(n) ? from.slice(0, Number(n)) : from;
  const end = tags.at(-1);
  const next = `</v2/${repository}/tags/list?n=${n}&last=${encodeURIComponent(end ?? '')}>; rel="next"`;
  const link = end !== undefined && tags.length < from.length ? { link: next } : {};
  return answerOf(
    200,
    'application/json',
    Buffer.from(JSON.stringify({ name: repository, tags })),
    head,
    link,
  );
}
