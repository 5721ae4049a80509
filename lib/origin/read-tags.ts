import { DamselflyError } from '../core/errors.ts';
import type { BlobOrigin } from '../core/node.ts';
import { askAsReader } from './ask-as-reader.ts';
import { readBody } from './exchange.ts';
import type { Registry } from './registry.ts';
import { nextQuery, tagsOf } from './tags-page.ts';

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
