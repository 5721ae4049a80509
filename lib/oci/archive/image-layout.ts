import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../core/digest.ts';
import { type Descriptor, parseManifest } from '../manifest.ts';
import { isForeignLayer } from '../media-types.ts';
import { formatReference, type Reference } from '../reference.ts';

/** A manifest or an index as the registry has it, byte for byte. */
export interface RawManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/** An image, or several under one index, as an archive holds it. */
export interface ArchivedImage {
  /** Its name is written into the archive; a digest in it is not part of that name when there is a tag. */
  readonly reference: Reference;
  /** What the name stands for; also among `manifests`. */
  readonly root: RawManifest;
  /** The root and, for an index, all that it lists. */
  readonly manifests: readonly RawManifest[];
  /** The manifest that a tool without indexes loads; undefined when there is none for it. */
  readonly plain?: RawManifest | undefined;
}

/** Files of an archive besides the blobs (image-spec, image-layout.md; `manifest.json` is that of `docker save`). */
const LAYOUT_FILE = 'oci-layout';
export const INDEX_FILE = 'index.json';
const DOCKER_FILE = 'manifest.json';

const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
const LAYOUT = { imageLayoutVersion: '1.0.0' };
/** By this one containerd and podman name what they import; by the other skopeo chooses among several. */
const NAME = 'io.containerd.image.name';
const TAG = 'org.opencontainers.image.ref.name';
const IMAGE_CONFIGS = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
];

/** Where an archive keeps a blob. */
export function blobFile(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/** The digest of the blob that a file of an archive is, or undefined. */
export function digestOfFile(name: string): Digest | undefined {
  const [, algorithm, hex] = /^(?:\.\/)?blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(name) ?? [];
  const digest = `${algorithm ?? ''}:${hex ?? ''}`;
  return isDigest(digest) ? digest : undefined;
}

/** An image as the index of an archive lists it. */
export interface ListedImage {
  readonly digest: Digest;
  /** Empty when it is not told. */
  readonly mediaType: string;
  /** Its name with registry and tag, where the archive tells it. */
  readonly name?: string;
}

/** The images of an archive, by its `index.json`; none when that is no index. */
export function archiveIndex(bytes: Uint8Array): ListedImage[] {
  const index = parseManifest(bytes);
  if (index.kind !== 'index') return [];
  return index.manifests.map(({ annotations, digest, mediaType }) => {
    // Some tools put the whole name where others have the tag alone.
    const name = [annotations?.[NAME], annotations?.[TAG]].find((text) => text?.includes('/'));
    return { digest, mediaType, ...(name === undefined ? {} : { name }) };
  });
}

/** The small files that make an archive out of blobs, by name. */
export function layoutFiles(
  image: ArchivedImage,
): readonly { readonly name: string; readonly text: string }[] {
  const { plain, reference, root } = image;
  const { registry, repository, tag } = reference;
  const name = formatReference(tag === undefined ? reference : { registry, repository, tag });
  const descriptor = {
    mediaType: root.mediaType,
    digest: root.digest,
    size: root.bytes.length,
    annotations: { [NAME]: name, ...(tag === undefined ? {} : { [TAG]: tag }) },
  };
  const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [descriptor] };
  const docker = plain === undefined ? undefined : dockerEntry(plain, tag === undefined ? [] : [name]);
  return [
    { name: LAYOUT_FILE, text: JSON.stringify(LAYOUT) },
    { name: INDEX_FILE, text: JSON.stringify(index) },
    ...(docker === undefined ? [] : [{ name: DOCKER_FILE, text: JSON.stringify([docker]) }]),
  ];
}

/** As `docker save` describes an image; undefined for what dockerd could not load: artifacts, layers kept elsewhere. */
function dockerEntry({ bytes }: RawManifest, names: readonly string[]): object | undefined {
  const manifest = parseManifest(bytes);
  if (manifest.kind !== 'image' || manifest.config === undefined) return undefined;
  const { config, layers } = manifest;
  if (
    !IMAGE_CONFIGS.includes(config.mediaType) ||
    layers.some(({ mediaType }) => isForeignLayer(mediaType))
  ) {
    return undefined;
  }
  return {
    Config: blobFile(config.digest),
    RepoTags: names,
    Layers: layers.map(({ digest }) => blobFile(digest)),
  };
}

/** Every blob that the manifests list, once, in their order; not those that registries need not have. */
export function listedBlobs(manifests: readonly RawManifest[]): Descriptor[] {
  const seen = new Set<string>();
  return manifests
    .flatMap(({ bytes }) => {
      const manifest = parseManifest(bytes);
      if (manifest.kind !== 'image') return [];
      return manifest.config === undefined ? manifest.layers : [manifest.config, ...manifest.layers];
    })
    .filter(({ digest, mediaType }) => {
      if (isForeignLayer(mediaType) || seen.has(digest)) return false;
      seen.add(digest);
      return true;
    });
}
