import { z } from 'zod';
import { type Descriptor, parseManifest } from '../../oci/manifest.ts';
import { isRepository, isTag, looksLikeHost } from '../../oci/names.ts';

/** What an `index.json` says which image this is (image-spec, annotations.md; and containerd's own, with the whole name). */
const WHOLE_NAME = 'io.containerd.image.name';
const REF_NAME = 'org.opencontainers.image.ref.name';
/** What an image is called that is alone and has no name. */
const NAMELESS_TAG = 'latest';

const marker = z.object({ imageLayoutVersion: z.string().regex(/^1\./) });

/** An image as `index.json` lists it. */
interface ListedImage {
  readonly descriptor: Descriptor;
  /** Undefined: it is in every repository. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
}

/** Whether the bytes are an `oci-layout` file of a version that we know. */
export function isLayoutMarker(bytes: Uint8Array): boolean {
  try {
    return marker.safeParse(JSON.parse(Buffer.from(bytes).toString())).success;
  } catch {
    return false;
  }
}

/** The images of an OCI image layout, by its `index.json`. */
export class LayoutIndex {
  readonly #images: readonly ListedImage[];

  private constructor(images: readonly ListedImage[]) {
    this.#images = images;
  }

  /** @returns undefined when the bytes are no index. @throws UPSTREAM_BROKEN when they are too many */
  static parse(bytes: Uint8Array): LayoutIndex | undefined {
    const index = parseManifest(bytes);
    if (index.kind !== 'index') return undefined;
    const images = index.manifests.map(listed);
    const [first] = images;
    if (first !== undefined && images.length === 1 && first.tag === undefined) {
      return new LayoutIndex([{ ...first, tag: NAMELESS_TAG }]);
    }
    return new LayoutIndex(images);
  }

  /** The image of this tag, or of this digest, of whatever repository. */
  find(repository: string, reference: string): Descriptor | undefined {
    const byTag = this.#images.find((each) => each.tag === reference && isOf(each, repository));
    return (byTag ?? this.#images.find(({ descriptor }) => descriptor.digest === reference))?.descriptor;
  }

  /** Each once, sorted. */
  tags(repository: string): readonly string[] {
    const tags = this.#images.flatMap((each) => (isOf(each, repository) ? (each.tag ?? []) : []));
    return [...new Set(tags)].sort();
  }
}

function isOf({ repository }: ListedImage, asked: string): boolean {
  return repository === undefined || repository === asked;
}

function listed(descriptor: Descriptor): ListedImage {
  const { annotations } = descriptor;
  const names = [annotations?.[WHOLE_NAME], annotations?.[REF_NAME]].filter((name) => name !== undefined);
  const whole = names.map(takeApart).find((name) => name !== undefined);
  if (whole !== undefined) return { descriptor, ...whole };
  return { descriptor, repository: undefined, tag: names.find(isTag) };
}

/** `[host[:port]/]repository[:tag]`; undefined for a tag alone, and for what is no name. The host does not count. */
function takeApart(name: string): { readonly repository: string; readonly tag: string } | undefined {
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  const path = colon === -1 ? name : name.slice(0, colon);
  const tag = colon === -1 ? NAMELESS_TAG : name.slice(colon + 1);
  if (path === name && !name.includes('/')) return undefined;
  const [first = '', ...rest] = path.split('/');
  const repository = rest.length > 0 && looksLikeHost(first) ? rest.join('/') : path;
  return isRepository(repository) && isTag(tag) ? { repository, tag } : undefined;
}
