import { type Digest, parseDigest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import type { RawManifest } from '../oci/archive/image-layout.ts';
import { type Descriptor, type Manifest, parseManifest } from '../oci/manifest.ts';
import { choosePlatform, formatPlatform, machinePlatform, parsePlatform } from '../oci/platform.ts';
import type { Reference } from '../oci/reference.ts';

/** Where manifests come from: the daemon, which asks the registry. */
export interface ManifestSource {
  manifest(
    query: { readonly upstream: string; readonly repository: string; readonly reference: string },
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string; readonly digest: string }>;
}

/** Of a multi-platform image: `os/architecture[/variant]`, `all`, or undefined for that of this machine. */
export type WantedPlatform = string | undefined;

export const ALL_PLATFORMS = 'all';

export interface ResolvedImage {
  /** What was asked for: the manifest of one image or, with `all`, the index. */
  readonly root: RawManifest;
  /** The root and all that it lists. */
  readonly manifests: readonly RawManifest[];
  /** The one for the machine, for tools that know no index; undefined when the image is not for it. */
  readonly plain: RawManifest | undefined;
}

/** Real indexes have some dozens. */
const MAX_MANIFESTS = 1000;
const MAX_MANIFESTS_BYTES = 64 * 1024 * 1024;
const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\b/;

/**
 * The manifests that a reference stands for.
 * @throws REFERENCE_INVALID when it is no image, or not for that platform; UPSTREAM_*, DAEMON_UNREACHABLE, ABORTED
 */
export async function resolveImage(
  source: ManifestSource,
  { digest, registry, repository, tag }: Reference,
  platform: WantedPlatform,
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const wanted =
    platform === undefined || platform === ALL_PLATFORMS ? machinePlatform() : parsePlatform(platform);
  const read = async (reference: string): Promise<RawManifest & { manifest: Manifest }> => {
    const { bytes, digest, mediaType } = await source.manifest(
      { upstream: registry, repository, reference },
      signal,
    );
    const manifest = parseManifest(bytes);
    const told = manifest.kind === 'other' || manifest.mediaType === '' ? mediaType : manifest.mediaType;
    if (SCHEMA1.test(told)) {
      throw notAnImage('has a manifest of schema 1: push the image again with a current client');
    }
    return { bytes, digest: parseDigest(digest), mediaType: told, manifest };
  };
  const root = await read(digest ?? tag ?? 'latest');
  if (root.manifest.kind === 'image') return { root, manifests: [root], plain: root };
  if (root.manifest.kind === 'other') throw notAnImage('is not an image');
  const { manifests: entries } = root.manifest;
  if (platform === ALL_PLATFORMS) {
    const manifests = await readAll(root, read);
    const machine = choosePlatform(entries, wanted)?.digest;
    return { root, manifests, plain: manifests.find((each) => each.digest === machine) };
  }
  const chosen = choosePlatform(entries, wanted);
  if (chosen === undefined) throw notFor(entries, formatPlatform(wanted));
  const child = await read(chosen.digest);
  if (child.manifest.kind !== 'image') throw notAnImage('is not an image for that platform');
  return { root: child, manifests: [child], plain: child };
}

/** The index and all below it, each once. */
async function readAll(
  root: RawManifest,
  read: (reference: string) => Promise<RawManifest>,
): Promise<RawManifest[]> {
  const found = new Map<Digest, RawManifest>([[root.digest, root]]);
  let bytes = 0;
  // What is added while we read is visited too.
  for (const { bytes: text } of found.values()) {
    const manifest = parseManifest(text);
    for (const { digest } of manifest.kind === 'index' ? manifest.manifests : []) {
      if (found.has(digest)) continue;
      const child = await read(digest);
      bytes += child.bytes.length;
      found.set(digest, child);
      if (found.size > MAX_MANIFESTS || bytes > MAX_MANIFESTS_BYTES) {
        throw notAnImage(`lists more than ${MAX_MANIFESTS} manifests, or more than 64 MiB of them`);
      }
    }
  }
  return [...found.values()];
}

function notFor(entries: readonly Descriptor[], wanted: string): DamselflyError {
  // Attestations are marked unknown/unknown: nobody wants to choose one.
  const offered = entries.flatMap(({ platform }) =>
    platform === undefined || platform.os === 'unknown' ? [] : [formatPlatform(platform)],
  );
  return notAnImage(`is not offered for ${wanted}; choose with --platform among ${offered.join(', ')}`);
}

function notAnImage(what: string): DamselflyError {
  return new DamselflyError('REFERENCE_INVALID', `the image reference ${what}`);
}
