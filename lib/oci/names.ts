const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** Labels as clients take them (distribution, reference grammar): none is empty. */
const REGISTRY_HOST =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[(?:[0-9a-fA-F]{0,4}:){2,7}(?:[0-9a-fA-F]{0,4}|\d{1,3}(?:\.\d{1,3}){3})\])(?::\d{1,5})?$/;
const DIGEST_GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/** Many clients refuse longer names, and so do we. */
const MAX_REPOSITORY_LENGTH = 255;
/** No registered algorithm needs more; keeps what we relay bounded. */
const MAX_DIGEST_LENGTH = 512;

/** Whether the text is a repository name (distribution-spec, "Pulling manifests"): `team/app`. */
export function isRepository(text: string): boolean {
  return text.length <= MAX_REPOSITORY_LENGTH && REPOSITORY.test(text);
}

/** Whether the text is a tag (distribution-spec, "Pulling manifests"). */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * Whether the text has the form of a digest, of whatever algorithm (image-spec, descriptor.md). Only those that
 * `isDigest` of lib/core accepts can be verified.
 */
export function hasDigestForm(text: string): boolean {
  return text.length <= MAX_DIGEST_LENGTH && DIGEST_GRAMMAR.test(text);
}

/** Whether the text can be a registry host, with or without a port: `harbor.corp`, `localhost:5000`, `[::1]:5000`. */
export function isRegistryHost(text: string): boolean {
  return text.length <= MAX_REPOSITORY_LENGTH && REGISTRY_HOST.test(text);
}

/** Whether the first component of a path is meant as a registry, as container clients decide it: a dot, a port, localhost. */
export function looksLikeHost(component: string): boolean {
  return component === 'localhost' || component.includes('.') || component.includes(':');
}
