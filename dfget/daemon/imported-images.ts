import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Digest, isDigest, parseDigest } from '../../lib/core/digest.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import type { Logger } from '../../lib/observe/log.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest } from '../../lib/oci/manifest.ts';
import { isForeignLayer } from '../../lib/oci/media-types.ts';
import { formatReference, parseReference } from '../../lib/oci/reference.ts';
import { createSerial } from '../../lib/store/serial.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import type { ImageToKeep, ImportedImage } from '../local-protocol.ts';

/** Images that came from archives: their names, and which blobs of the store they are made of. Outlives restarts. */
export interface ImportedImages {
  readonly list: readonly ImportedImage[];
  /** The newest one of that name, or one that has a manifest with that digest. */
  find(upstream: string, repository: string, reference: string): ImportedImage | undefined;
  /** Whether an image needs the blob, other than the one of that name. */
  needs(digest: string, except?: string): boolean;
  /**
   * Gives blobs of the store a name, and pins them. An image of the same name is replaced.
   * @throws REFERENCE_INVALID when it is no image; BLOB_UNKNOWN when a blob of it is not here; STORE_*
   */
  add(image: ImageToKeep): Promise<ImportedImage>;
  /** Forgets the name. The blobs stay. */
  forget(image: string): Promise<boolean>;
}

const digest = z.string().refine(isDigest);
const descriptor = z.object({ digest, size: z.int().min(0) });
const stored = z.array(
  z.object({
    image: z.string(),
    upstream: z.string(),
    repository: z.string(),
    tag: z.string().optional(),
    digest,
    manifests: z.array(descriptor.extend({ mediaType: z.string() })),
    blobs: z.array(descriptor),
  }),
);

/** @param folder keeps the list */
export async function loadImportedImages(
  { log, store }: { readonly log: Logger; readonly store: BlobStore },
  folder: string,
): Promise<ImportedImages> {
  const file = join(folder, 'imported-images.json');
  const inTurn = createSerial();
  let images = await readList(file, log);
  const change = (make: (before: readonly ImportedImage[]) => readonly ImportedImage[]): Promise<void> =>
    inTurn(async () => {
      const after = make(images);
      await writeFile(`${file}.new`, `${JSON.stringify(after)}\n`);
      await rename(`${file}.new`, file);
      images = after;
    });
  const others = (name: string | undefined) => images.filter(({ image }) => image !== name);

  return {
    get list() {
      return images;
    },
    find: (upstream, repository, reference) =>
      images.find(
        (each) =>
          each.upstream === upstream &&
          each.repository === repository &&
          (each.tag === reference || each.manifests.some(({ digest }) => digest === reference)),
      ),
    needs: (digest, except) =>
      others(except).some(({ blobs, manifests }) =>
        [...manifests, ...blobs].some((each) => each.digest === digest),
      ),
    async add({ digest, image, mediaType }) {
      const reference = parseReference(image);
      const { registry: upstream, repository, tag } = reference;
      const name = formatReference(reference);
      const parts = await partsOf(store, parseDigest(digest), mediaType);
      const added = {
        image: name,
        upstream,
        repository,
        ...(tag === undefined ? {} : { tag }),
        digest,
        ...parts,
      };
      for (const part of [...parts.manifests, ...parts.blobs]) await store.pin(part.digest);
      await change(() => [added, ...others(name)]);
      return added;
    },
    async forget(image) {
      const known = images.length;
      await change(() => others(image));
      return images.length < known;
    },
  };
}

/** What an image is made of, as its manifests here say. Of an index, the images whose manifests are here. */
async function partsOf(store: BlobStore, root: Digest, rootType: string) {
  const manifests = new Map<Digest, Descriptor>();
  const blobs = new Map<Digest, number>();
  const visit = async (digest: Digest, mediaType: string): Promise<void> => {
    if (manifests.has(digest)) return;
    const bytes = await readManifest(store, digest);
    const manifest = parseManifest(bytes);
    if (manifest.kind === 'other') throw notAnImage(digest);
    const type = manifest.mediaType === '' ? mediaType : manifest.mediaType;
    manifests.set(digest, { digest, mediaType: type, size: bytes.length });
    if (manifest.kind === 'index') {
      for (const child of manifest.manifests) {
        if (store.get(child.digest)?.complete === true) await visit(child.digest, child.mediaType);
      }
      return;
    }
    for (const part of [...(manifest.config === undefined ? [] : [manifest.config]), ...manifest.layers]) {
      if (isForeignLayer(part.mediaType)) continue;
      if (part.size > 0 && store.get(part.digest)?.complete !== true) throw absent(part.digest);
      blobs.set(part.digest, part.size);
    }
  };
  await visit(root, rootType);
  if (blobs.size === 0) throw notAnImage(root);
  return {
    manifests: [...manifests.values()],
    blobs: [...blobs].map(([digest, size]) => ({ digest, size })),
  };
}

/** A manifest of the store. @throws BLOB_UNKNOWN, REFERENCE_INVALID, STORE_*, PIECE_MISMATCH */
export async function readManifest(store: BlobStore, digest: Digest): Promise<Uint8Array> {
  const blob = await store.open(digest);
  try {
    if (blob?.complete !== true) throw absent(digest);
    if (blob.info.size > MAX_MANIFEST_BYTES) throw notAnImage(digest);
    const bytes = new Uint8Array(blob.info.size);
    await blob.read(0, bytes);
    return bytes;
  } finally {
    await blob?.close();
  }
}

function absent(digest: Digest): DamselflyError {
  return new DamselflyError('BLOB_UNKNOWN', `the image needs ${digest}, which is not here`, { digest });
}

function notAnImage(digest: Digest): DamselflyError {
  return new DamselflyError('REFERENCE_INVALID', `${digest} is not the manifest of an image`, { digest });
}

async function readList(file: string, log: Logger): Promise<readonly ImportedImage[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return [];
  }
  const images = decodeImages(text);
  if (images === undefined) log.error({ file }, 'the names of imported images cannot be read');
  return images ?? [];
}

/** The images that a list names; undefined when it is no such list. */
export function decodeImages(text: string): readonly ImportedImage[] | undefined {
  try {
    return stored.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
