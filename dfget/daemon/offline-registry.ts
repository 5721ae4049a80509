import { isDigest, parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type {
  BlobBody,
  BlobRead,
  OriginClient,
  OriginRequest,
  OriginResponse,
} from '../../lib/origin/origin-client.ts';
import { answerOf, noBody, refusalOf } from '../../lib/origin/registry-answer.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import type { ImportedImage } from '../local-protocol.ts';
import { type ImportedImages, readManifest } from './imported-images.ts';

/** One read of the store. */
const CHUNK_BYTES = 1024 * 1024;
const ADDRESS = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/?]+)(?:\?.*)?$/;

/** What a node holds of them. */
export interface Held {
  readonly images: ImportedImages;
  readonly store: BlobStore;
}

/**
 * The registries, and besides them some that are not there: their images are those that were imported on this node, and
 * everybody may read them.
 * @param held what is here at the moment: a daemon may close its store and open it again
 * @param names of the registries that are not there
 */
export function withOfflineRegistries(
  origin: OriginClient,
  held: () => Held,
  names: readonly string[],
): OriginClient {
  if (names.length === 0) return origin;
  const isOffline = (upstream: string): boolean => names.includes(upstream);
  return {
    upstreams: [...names, ...origin.upstreams],
    trust: (upstream) => (isOffline(upstream) ? 'caller' : origin.trust(upstream)),
    provesRight: (right) => !isOffline(right.upstream) && origin.provesRight(right),
    request: async (request, options) =>
      isOffline(request.upstream) ? await answer(held(), request) : await origin.request(request, options),
    readBlob: async (read, options) =>
      isOffline(read.origin.upstream) ? await readBlob(held(), read) : await origin.readBlob(read, options),
    async readManifest(read, options) {
      const { reference } = read;
      const { repository, upstream } = read.origin;
      if (!isOffline(upstream)) return await origin.readManifest(read, options);
      const { images, store } = held();
      const found = manifestOf(images.find(upstream, repository, reference), reference);
      if (found === undefined) throw refused('a manifest', reference);
      const digest = parseDigest(found.digest);
      return { bytes: await readManifest(store, digest), digest, mediaType: found.mediaType };
    },
    // What is on this node says nothing to others.
    isPublic: async (blob, options) =>
      !isOffline(blob.origin.upstream) && (await origin.isPublic(blob, options)),
    ownAuthorization: async (blob, options) =>
      isOffline(blob.origin.upstream) ? undefined : await origin.ownAuthorization(blob, options),
    readTags: async (read, options) =>
      isOffline(read.upstream)
        ? (tagsOf(held().images, read.upstream, read.repository) ?? [])
        : await origin.readTags(read, options),
    close: () => origin.close(),
  };
}

/** As a registry would. */
async function answer(
  { images, store }: Held,
  { method, path, upstream }: OriginRequest,
): Promise<OriginResponse> {
  const head = method === 'HEAD';
  if (method !== 'GET' && !head) return failure(405, 'UNSUPPORTED');
  if (/^\/v2\/?$/.test(path)) return answerOf(200, 'application/json', Buffer.from('{}'), head);
  const [, repository = '', kind = '', name = ''] = ADDRESS.exec(path) ?? [];
  if (kind === 'manifests') {
    const found = manifestOf(images.find(upstream, repository, name), name);
    if (found === undefined) return failure(404, 'MANIFEST_UNKNOWN');
    const bytes = await readManifest(store, parseDigest(found.digest));
    return answerOf(200, found.mediaType, bytes, head, { 'docker-content-digest': found.digest });
  }
  if (kind === 'blobs') {
    const size = sizeOf(images, upstream, repository, name);
    if (size === undefined || !isDigest(name)) return failure(404, 'BLOB_UNKNOWN');
    const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': name };
    const body = head ? noBody() : stored(store, { digest: name, size }, 0, size);
    return { status: 200, headers: { ...headers, 'content-length': String(size) }, body };
  }
  const tags = tagsOf(images, upstream, repository);
  if (kind !== 'tags' || tags === undefined) return failure(404, 'NAME_UNKNOWN');
  const list = { name: repository, tags };
  return answerOf(200, 'application/json', Buffer.from(JSON.stringify(list)), head);
}

/** Undefined when nothing of the repository was imported. */
function tagsOf(images: ImportedImages, upstream: string, repository: string): string[] | undefined {
  const here = images.list.filter((each) => each.upstream === upstream && each.repository === repository);
  return here.length === 0 ? undefined : here.flatMap(({ tag }) => tag ?? []).sort();
}

async function readBlob(
  { images, store }: Held,
  { digest, end, origin, start = 0 }: BlobRead,
): Promise<BlobBody> {
  const size = sizeOf(images, origin.upstream, origin.repository, digest);
  if (size === undefined) throw refused('a blob', digest);
  return { size, whole: false, bytes: stored(store, { digest, size }, start, Math.min(end ?? size, size)) };
}

/** The manifest that a reference means in an image that has it. */
function manifestOf(image: ImportedImage | undefined, reference: string) {
  const digest = image?.tag === reference ? image.digest : reference;
  return image?.manifests.find((each) => each.digest === digest);
}

/** Bytes of a blob that an image of the repository has; also of its manifests, which are blobs like others. */
function sizeOf(
  images: ImportedImages,
  upstream: string,
  repository: string,
  digest: string,
): number | undefined {
  for (const image of images.list) {
    if (image.upstream !== upstream || image.repository !== repository) continue;
    const found = [...image.blobs, ...image.manifests].find((each) => each.digest === digest);
    if (found !== undefined) return found.size;
  }
  return undefined;
}

async function* stored(
  store: BlobStore,
  { digest, size }: { readonly digest: BlobRead['digest']; readonly size: number },
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  if (size === 0) return;
  const blob = await store.open(digest);
  try {
    if (blob?.complete !== true) {
      throw new DamselflyError('BLOB_UNKNOWN', 'the blob is not here any more', { digest });
    }
    for (let at = start; at < end; ) {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, end - at));
      await blob.read(at, chunk);
      at += chunk.length;
      yield chunk;
    }
  } finally {
    await blob?.close();
  }
}

function failure(status: number, code: string): OriginResponse {
  return refusalOf(status, code, 'no imported image has it: dfget cache import');
}

function refused(what: string, name: string): DamselflyError {
  const message = `no imported image has ${what} ${name}: bring one with "dfget cache import"`;
  return new DamselflyError('UPSTREAM_REFUSED', message, { status: 404 });
}
