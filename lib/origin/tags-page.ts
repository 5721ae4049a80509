import { DamselflyError } from '../core/errors.ts';
import { isTag } from '../oci/names.ts';

/** Longest Link that is looked at: what finds the next page takes time by its square. */
const MAX_LINK_CHARS = 4096;

/** The names of one page's tags; what is none is left out. @throws UPSTREAM_BROKEN */
export function tagsOf(bytes: Uint8Array): string[] {
  try {
    const { tags } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly tags?: unknown };
    // A repository whose tags were all deleted says null.
    return Array.isArray(tags)
      ? tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag))
      : [];
  } catch {
    throw new DamselflyError('UPSTREAM_BROKEN', 'the registry sent no list of tags');
  }
}

/** Of the next page only the question is believed, not where to ask it (distribution-spec, "Listing Tags"). */
export function nextQuery(link: string | string[] | undefined): string | undefined {
  const [, target] =
    /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(String(link ?? '').slice(0, MAX_LINK_CHARS)) ?? [];
  const at = target?.indexOf('?') ?? -1;
  return at < 0 ? undefined : target?.slice(at + 1).replace(/[^\w.~%&=+-]/g, '');
}
