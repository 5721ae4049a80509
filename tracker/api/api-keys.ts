import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { DamselflyError } from '../../lib/core/errors.ts';

/** What callers of the tracker's API prove themselves with: headers that a file lists, one a line. */

interface ApiKey {
  /** Lower-case name. */
  readonly header: string;
  readonly hash: Buffer;
}

export type ApiKeys = readonly ApiKey[];

/**
 * Reads lines `bearer TOKEN`, `basic USER:PASSWORD` and `header NAME: VALUE`; empty ones and those that begin with # are
 * left out. Errors name the line, never what it says.
 * @throws CONFIG_INVALID
 */
export function parseApiKeys(text: string): ApiKeys {
  return text.split('\n').flatMap((line, index) => {
    const [, kind = '', value = ''] = /^\s*([a-z]+)\s+(.*?)\s*$/.exec(line) ?? [];
    if (/^\s*(#.*)?$/.test(line)) return [];
    if (kind === 'bearer' && /^\S+$/.test(value)) return [keyOf('authorization', `Bearer ${value}`)];
    if (kind === 'basic' && /^[^:]+:./.test(value)) {
      return [keyOf('authorization', `Basic ${Buffer.from(value).toString('base64')}`)];
    }
    const [, name, content] = /^([A-Za-z0-9-]+):\s*(.+)$/.exec(value) ?? [];
    if (kind === 'header' && name !== undefined && content !== undefined) return [keyOf(name, content)];
    const message = `line ${index + 1} is no key: write bearer TOKEN, basic USER:PASSWORD or header NAME: VALUE`;
    throw new DamselflyError('CONFIG_INVALID', message);
  });
}

/** `right`: the request shows one of the keys; `wrong`: it shows another; `none`: it shows none. */
export function shownKey(keys: ApiKeys, headers: IncomingHttpHeaders): 'right' | 'wrong' | 'none' {
  let shown = headers.authorization !== undefined;
  for (const { hash, header } of keys) {
    const value = headers[header];
    if (typeof value !== 'string') continue;
    shown = true;
    if (timingSafeEqual(hash, hashOf(value))) return 'right';
  }
  return shown ? 'wrong' : 'none';
}

function keyOf(name: string, value: string): ApiKey {
  return { header: name.toLowerCase(), hash: hashOf(value) };
}

/** Schemes are the same in any case (RFC 9110 section 11.1); hashes have one length, whatever is compared. */
function hashOf(value: string): Buffer {
  const one = value.replace(/^(?:basic|bearer) +/i, (scheme) => `${scheme.trim().toLowerCase()} `);
  return createHash('sha256').update(one).digest();
}
