import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';
import { isTag } from '../oci/names.ts';
import { askAsReader } from './ask-as-reader.ts';
import { readBody } from './exchange.ts';
import type { Registry } from './registry.ts';

const PAGE_TAGS = 1000;
/** Most tags of one repository that are looked through; real ones have some hundreds. */
const MAX_TAGS = 10_000;
const MAX_PAGE_BYTES = 4 * 1024 * 1024;

/** Reads the names of all tags of a repository. Contract: `OriginClient.readTags`. */
export async function readTags(
  registry: Registry,
  origin: BlobOrigin,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const tags: string[] = [];
  for (let query = `n=${PAGE_TAGS}`; ; ) {
    const path = `/v2/${origin.repository}/tags/list?${query}`;
    const response = await askAsReader(registry, { kind: 'other', path, headers: {}, origin }, signal);
    const page = tagsOf(await readBody(response, MAX_PAGE_BYTES));
    tags.push(...page);
    const next = nextQuery(response.headers['link']);
    if (next === undefined || page.length === 0) return tags;
    if (tags.length > MAX_TAGS || next === query) {
      const message = `the registry lists more than ${MAX_TAGS} tags, or the same ones again and again`;
      throw new DamselflyError('UPSTREAM_BROKEN', message, { repository: origin.repository });
    }
    query = next;
  }
}

function tagsOf(bytes: Uint8Array): string[] {
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
function nextQuery(link: string | string[] | undefined): string | undefined {
  const [, target] = /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(String(link ?? '')) ?? [];
  const at = target?.indexOf('?') ?? -1;
  return at < 0 ? undefined : target?.slice(at + 1).replace(/[^\w.~%&=+-]/g, '');
}
