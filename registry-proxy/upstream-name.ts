import { isRepository, looksLikeHost } from '../lib/oci/names.ts';
import { canonicalRegistry, repositoryIn } from '../lib/oci/reference.ts';
import { findUpstreamName } from '../lib/origin/upstream-pattern.ts';

/** What is known when a registry has to be chosen. */
export interface UpstreamQuestion {
  /** Names of the configured upstreams, patterns among them. */
  readonly upstreams: readonly string[];
  /** `?ns=` of the request. */
  readonly ns: string | undefined;
  /** `X-Dragonfly-Registry` of the request: a registry, or its address. */
  readonly registryHeader?: string | undefined;
  /** The name in the path, a registry perhaps in front; undefined for requests about the whole registry. */
  readonly name: string | undefined;
  /** What the listener is for, if it is for one upstream. */
  readonly listenerUpstream: string | undefined;
  readonly defaultUpstream: string | undefined;
}

export type UpstreamChoice =
  | { readonly kind: 'found'; readonly upstream: string; readonly repository: string }
  | { readonly kind: 'unknown'; readonly message: string }
  | { readonly kind: 'invalid'; readonly message: string };

/**
 * Which registry and repository a request is for. Clients tell it in one of four ways: `?ns=` (containerd), the header
 * `X-Dragonfly-Registry`, the registry's name in front of the path (podman, CRI-O, a direct pull), or by asking a
 * listener that serves one registry. Only registries on the list of upstreams are ever found.
 */
export function chooseUpstream(question: UpstreamQuestion): UpstreamChoice {
  const { upstreams, name = '' } = question;
  const told = question.ns ?? registryIn(question.registryHeader);
  if (told !== undefined) {
    const upstream = canonicalRegistry(told.toLowerCase());
    return isServed(upstreams, upstream) ? found(upstream, question.name) : unknown(told);
  }
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const named = canonicalRegistry(first);
  if (isServed(upstreams, named)) return found(named, name.slice(slash + 1));
  if (question.listenerUpstream !== undefined) return found(question.listenerUpstream, question.name);
  // Sent to the default registry, this would show it the name, and perhaps the credential, meant for another.
  if (looksLikeHost(first)) return unknown(first);
  if (question.defaultUpstream !== undefined) return found(question.defaultUpstream, question.name);
  // A question about a whole registry, without a name to protect: where there is one registry, it is about that. Clients
  // that put the registry in the path learn from it, before they name anything, that they must log in.
  const [only] = upstreams;
  if (
    question.name === undefined &&
    only !== undefined &&
    upstreams.length === 1 &&
    isServed(upstreams, only)
  ) {
    return found(only, undefined);
  }
  return {
    kind: 'unknown',
    message:
      'the request does not say which registry it is for: add ?ns=REGISTRY, put the registry in front of the name, or start with --default-upstream NAME',
  };
}

/** Whether a registry is on the list. */
export function isServed(upstreams: readonly string[], registry: string): boolean {
  return findUpstreamName(upstreams, registry) !== undefined;
}

/** The registry that the header names: `https://harbor.corp` and `harbor.corp` are the same; with more in it, nobody's. */
function registryIn(header: string | undefined): string | undefined {
  return header === undefined ? undefined : header.trim().replace(/^https?:\/\/([^/]*)\/?$/i, '$1');
}

function found(upstream: string, name: string | undefined): UpstreamChoice {
  if (name === undefined) return { kind: 'found', upstream, repository: '' };
  const repository = repositoryIn(upstream, name);
  if (isRepository(repository)) return { kind: 'found', upstream, repository };
  return {
    kind: 'invalid',
    message: 'a repository is lower-case letters, digits and single separators, at most 255 characters',
  };
}

function unknown(registry: string): UpstreamChoice {
  const shown = JSON.stringify(registry.slice(0, 100));
  return {
    kind: 'unknown',
    message: `registry ${shown} is not served here: start with --upstream NAME=URL to add it`,
  };
}
