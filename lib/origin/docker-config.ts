import { canonicalRegistry } from '../oci/reference.ts';
import type { Secret } from './secret.ts';

/** What a file of credentials says of a registry: the secret itself, or the program that has it. */
export type StoredSecret =
  | Secret
  | { readonly kind: 'helper'; readonly helper: string; readonly server: string };

/** Key and question of the default registry in all those files. */
const DOCKER_SERVER = 'https://index.docker.io/v1/';
/** A program's name ends in it; nothing else of a file is ever run. */
const HELPER_NAME = /^[A-Za-z0-9._-]+$/;
/** What stands for the user when the secret is a refresh token (docker-credential-helpers). */
const TOKEN_USER = '<token>';

/**
 * Finds a registry's credentials in a file in the form of docker's config.json or containers' auth.json: a helper for
 * the registry, else the entry of the longest path that `registry/repository` lies under, else the helper for all.
 */
export function findStoredSecret(
  file: unknown,
  registry: string,
  repository: string,
): StoredSecret | undefined {
  const { auths, credHelpers, credsStore } = objectOf(file);
  const server = serverName(registry);
  const helpers = Object.entries(objectOf(credHelpers)).map(([key, helper]) => [keyOf(key), helper] as const);
  const own = helpers.find(([key]) => key === keyOf(registry))?.[1];
  if (isHelper(own)) return { kind: 'helper', helper: own, server };
  const entries = new Map(Object.entries(objectOf(auths)).map(([key, entry]) => [keyOf(key), entry]));
  for (const key of pathsOf(`${keyOf(registry)}/${repository}`)) {
    const found = secretOf(entries.get(key));
    if (found !== undefined) return found;
  }
  return isHelper(credsStore) ? { kind: 'helper', helper: credsStore, server } : undefined;
}

/** The name by which credential helpers know a registry. */
export function serverName(registry: string): string {
  return keyOf(registry) === 'docker.io' ? DOCKER_SERVER : registry;
}

/** A helper's answer (`{"ServerURL","Username","Secret"}`); undefined when it is none. */
export function secretOfHelper(answer: unknown): Secret | undefined {
  const { Username: username, Secret: secret } = objectOf(answer);
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  return username === TOKEN_USER
    ? { kind: 'refresh', token: secret }
    : { kind: 'password', username, password: secret };
}

function secretOf(entry: unknown): Secret | undefined {
  const { auth, identitytoken, username, password } = objectOf(entry);
  if (typeof identitytoken === 'string' && identitytoken !== '') {
    return { kind: 'refresh', token: identitytoken };
  }
  if (typeof auth === 'string' && auth !== '') {
    const text = Buffer.from(auth, 'base64').toString();
    const colon = text.indexOf(':');
    if (colon > 0) {
      return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
    }
  }
  if (typeof username === 'string' && typeof password === 'string' && username !== '') {
    return { kind: 'password', username, password };
  }
  return undefined;
}

/** `a/b/c`, `a/b`, `a`: the most specific first. */
function pathsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}

/** The one spelling of a key: without scheme, without `/v1/` and `/v2/` at its end, one name for the default registry. */
function keyOf(key: string): string {
  const bare = key
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/\/v[12]$/, '');
  const [host = '', ...path] = bare.split('/');
  return [canonicalRegistry(host), ...path].join('/');
}

function isHelper(value: unknown): value is string {
  return typeof value === 'string' && HELPER_NAME.test(value);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
