import { type Digest, isDigest } from '../core/digest.ts';
import { DamselflyError } from '../core/errors.ts';
import { isRegistryHost, isRepository, isTag, looksLikeHost } from './names.ts';

/** An image as people write it, taken apart. */
export interface Reference {
  /** Registry as clients spell it: `docker.io`, `harbor.corp:5000`. */
  readonly registry: string;
  /** `library/app`, `team/app`. */
  readonly repository: string;
  /** At least one of `tag` and `digest` is there. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** The registry of names that name none. */
const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_TAG = 'latest';
/** Other spellings of the default registry in old configurations. */
const DEFAULT_REGISTRY_ALIASES = ['index.docker.io', 'registry-1.docker.io'];

/**
 * Takes `[host[:port]/]path[:tag][@digest]` apart, with the default registry's rules: `app` is
 * `docker.io/library/app:latest`.
 * @throws REFERENCE_INVALID
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, 'what follows the @ is not a sha256 or sha512 digest');
  }
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !isTag(tag)) throw invalid(text, 'what follows the last colon is not a tag');
  const path = colon === -1 ? named : named.slice(0, colon);
  const slash = path.indexOf('/');
  const first = path.slice(0, Math.max(slash, 0));
  const hasHost = slash !== -1 && looksLikeHost(first);
  if (hasHost && !isRegistryHost(first)) throw invalid(text, 'the registry is not a host name');
  const registry = hasHost ? canonicalRegistry(first) : DEFAULT_REGISTRY;
  const repository = repositoryIn(registry, hasHost ? path.slice(slash + 1) : path);
  if (!isRepository(repository)) {
    throw invalid(
      text,
      'a repository is lower-case letters, digits and single separators, at most 255 characters',
    );
  }
  const shownTag = tag ?? (digest === undefined ? DEFAULT_TAG : undefined);
  return {
    registry,
    repository,
    ...(shownTag === undefined ? {} : { tag: shownTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** The one text of a reference, with nothing left out. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** The one spelling of a registry name. */
export function canonicalRegistry(name: string): string {
  return DEFAULT_REGISTRY_ALIASES.includes(name) ? DEFAULT_REGISTRY : name;
}

/** The repository that a name means in a registry: the default registry keeps one-part names under `library/`. */
export function repositoryIn(registry: string, name: string): string {
  return registry === DEFAULT_REGISTRY && !name.includes('/') ? `library/${name}` : name;
}

function invalid(text: string, why: string): DamselflyError {
  return new DamselflyError(
    'REFERENCE_INVALID',
    `not an image reference: ${JSON.stringify(text.slice(0, 300))}: ${why}`,
  );
}
