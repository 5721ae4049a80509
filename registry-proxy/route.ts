import { isDigest } from '../lib/core/digest.ts';
import { hasDigestForm, isTag } from '../lib/oci/names.ts';
import type { RegistryErrorCode } from '../lib/oci/registry-error.ts';

/** What a request's address asks for (distribution-spec, "Endpoints"). */
export type Route =
  | { readonly kind: 'ping' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: string }
  /** Tags and referrers; `rest` follows the name. */
  | { readonly kind: 'listing'; readonly name: string; readonly rest: string };

export type Target =
  | {
      readonly kind: 'found';
      readonly route: Route;
      /** The registry that the client names (distribution-spec, "Registry Proxying"). */
      readonly ns?: string;
      /** The path as the client wrote it. */
      readonly path: string;
      /** The query without `ns`. */
      readonly query: URLSearchParams;
    }
  | { readonly kind: 'invalid'; readonly code: RegistryErrorCode; readonly message: string }
  | { readonly kind: 'elsewhere' };

/** Longer addresses are not names anyone may use. */
const MAX_TARGET_LENGTH = 8192;
/** Components of a name, and of a registry in front of it; the name's own grammar is checked once the two are apart. */
const COMPONENT = /^(?:[a-zA-Z0-9._:-]+|\[[0-9a-fA-F:.]+\](?::\d{1,5})?)$/;

/**
 * Takes a request target apart. Everything that leads on is built anew from the parts that passed: no other byte of
 * the target ever reaches a registry.
 */
export function parseTarget(target: string): Target {
  if (target.length > MAX_TARGET_LENGTH) return invalid('the address is too long');
  if (!target.startsWith('/')) return invalid('only addresses of the form /v2/… are served here');
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
  if (path !== '/v2' && !path.startsWith('/v2/')) return { kind: 'elsewhere' };
  const namespaces = query.getAll('ns');
  query.delete('ns');
  if (namespaces.length > 1) return invalid('ns is given more than once');
  const found = parsePath(path.slice('/v2/'.length));
  if ('message' in found) return { kind: 'invalid', ...found };
  const ns = namespaces[0] ?? '';
  return { kind: 'found', route: found, path, query, ...(ns === '' ? {} : { ns }) };
}

type Refusal = { readonly code: RegistryErrorCode; readonly message: string };

function parsePath(path: string): Route | Refusal {
  if (path === '') return { kind: 'ping' };
  if (path === '_catalog') return { kind: 'catalog' };
  const parts = path.split('/').map(decoded);
  const last = parts.at(-1) ?? '';
  const word = parts.at(-2) ?? '';
  const name = parts.slice(0, -2);
  if (name.length === 0 || !name.every((part) => COMPONENT.test(part) && part !== '.' && part !== '..')) {
    return { code: 'NAME_INVALID', message: 'the repository name is not valid' };
  }
  const joined = name.join('/');
  if (word === 'tags' && last === 'list') return { kind: 'listing', name: joined, rest: 'tags/list' };
  if (word === 'manifests') {
    const fault = last.includes(':') ? digestFault(last) : tagFault(last);
    return fault ?? { kind: 'manifest', name: joined, reference: last };
  }
  if (word === 'blobs') return digestFault(last) ?? { kind: 'blob', name: joined, digest: last };
  if (word === 'referrers') {
    return digestFault(last) ?? { kind: 'listing', name: joined, rest: `referrers/${last}` };
  }
  return { code: 'NAME_INVALID', message: 'not an address of the registry API' };
}

/** One path component without its percent-encoding; empty, which is nowhere valid, when it cannot be read. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}

function digestFault(text: string): Refusal | undefined {
  const known = /^sha(?:256|512):/i.test(text);
  const valid = known ? isDigest(text) : hasDigestForm(text);
  return valid
    ? undefined
    : {
        code: 'DIGEST_INVALID',
        message: 'not a digest: algorithm:hex, in lower case and of the right length',
      };
}

function tagFault(text: string): Refusal | undefined {
  return isTag(text)
    ? undefined
    : { code: 'NAME_INVALID', message: 'not a tag: at most 128 letters, digits, dots, dashes, underscores' };
}

function invalid(message: string): Target {
  return { kind: 'invalid', code: 'NAME_INVALID', message };
}
