import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { Upstream } from '../../core/upstream.ts';
import type { Logger } from '../../observe/log.ts';
import { findStoredSecret, secretOfHelper, serverName } from '../docker-config.ts';
import type { Secret, SecretSource } from '../secret.ts';

/** Helpers ask a keychain or a cloud; a pull waits no longer for them. */
const HELPER_TIMEOUT_MS = 4_000;
const MAX_HELPER_BYTES = 64 * 1024;

/** The credentials of `upstream`: those given, else its helper's, else those of the first file that knows the registry. */
export function createSecretSource(deps: { readonly log: Logger }, upstream: Upstream): SecretSource {
  const { log } = deps;
  const { authFiles = [], credentialHelper, name, password, username } = upstream;
  if (username !== undefined && password !== undefined) {
    return { configured: true, find: () => Promise.resolve({ kind: 'password', username, password }) };
  }
  const ask = async (helper: string, server: string, signal: AbortSignal): Promise<Secret | undefined> => {
    try {
      return secretOfHelper(JSON.parse(await runHelper(helper, server, signal)));
    } catch (error) {
      // Neither its output nor the parser's words, which may hold a secret.
      const { code } = error as { code?: unknown };
      log.warn(
        { upstream: name, helper: `docker-credential-${helper}`, code },
        'the credential helper gave no credentials: run it by hand with "get" to see why',
      );
      return undefined;
    }
  };
  const inFile = async (
    path: string,
    repository: string,
    signal: AbortSignal,
  ): Promise<Secret | undefined> => {
    try {
      const found = findStoredSecret(JSON.parse(await readFile(path, 'utf8')), name, repository);
      return found?.kind === 'helper' ? await ask(found.helper, found.server, signal) : found;
    } catch (error) {
      const { code = 'not JSON' } = error as { code?: string };
      log.warn({ upstream: name, path, code }, 'a file of credentials cannot be read');
      return undefined;
    }
  };
  return {
    configured: credentialHelper !== undefined || authFiles.length > 0,
    async find(repository, signal) {
      if (credentialHelper !== undefined) return await ask(credentialHelper, serverName(name), signal);
      for (const path of authFiles) {
        const secret = await inFile(path, repository, signal);
        if (secret !== undefined) return secret;
      }
      return undefined;
    },
  };
}

/** Runs `docker-credential-NAME get` with the server on its stdin. */
function runHelper(helper: string, server: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      `docker-credential-${helper}`,
      ['get'],
      { timeout: HELPER_TIMEOUT_MS, maxBuffer: MAX_HELPER_BYTES, signal },
      (error, stdout) => (error instanceof Error ? reject(error) : resolve(stdout)),
    );
    // A helper that ends without reading is no failure of ours.
    child.stdin?.on('error', () => {});
    child.stdin?.end(`${server}\n`);
  });
}
