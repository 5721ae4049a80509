import { readFileSync } from 'node:fs';
import { DamselflyError } from '../core/errors.ts';

/** Shorter ones could be guessed. */
const LEAST_CHARS = 16;

/** The token of `--admin-token-file`; undefined without the setting. @throws CONFIG_INVALID */
export function loadAdminToken(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  let token: string;
  try {
    token = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--admin-token-file: ${(error as Error).message}`);
  }
  if (token.length >= LEAST_CHARS && /^[\x21-\x7e]+$/.test(token)) return token;
  const expected = `one line of at least ${LEAST_CHARS} printable characters without spaces`;
  throw new DamselflyError('CONFIG_INVALID', `--admin-token-file ${path}: expected ${expected}`);
}
