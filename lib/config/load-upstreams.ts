import { readFileSync } from 'node:fs';
import { DamselflyError } from '../core/errors.ts';
import type { UpstreamConfig } from './upstream.ts';

const PEM_FILES = ['ca', 'clientCert', 'clientKey'] as const;

/**
 * The upstreams with the text of their PEM files instead of the paths, and `authFiles` after their own: files of
 * credentials stay paths, because their content changes.
 * @throws CONFIG_INVALID, also for a file that cannot be read or is not JSON
 */
export function loadUpstreams(
  configs: readonly UpstreamConfig[],
  authFiles: readonly string[] = [],
): UpstreamConfig[] {
  for (const path of authFiles) checkAuthFile('--auth-file', path);
  const seen = new Set<string>();
  return configs.map((config) => {
    const { name } = config;
    if (seen.has(name)) throw new DamselflyError('CONFIG_INVALID', `--upstream: ${name} is given twice`);
    seen.add(name);
    for (const path of config.authFiles ?? []) checkAuthFile(`upstream ${name}: auth-file`, path);
    const texts = PEM_FILES.flatMap((key) => {
      const path = config[key];
      return path === undefined ? [] : [[key, read(path, `upstream ${name}: cannot read the ${key} file`)]];
    });
    const { verify } = config;
    const keys =
      verify === undefined ? '' : read(verify.keys, `upstream ${name}: cannot read the verify-keys file`);
    const files = [...(config.authFiles ?? []), ...authFiles];
    return {
      ...config,
      ...(Object.fromEntries(texts) as Partial<UpstreamConfig>),
      ...(verify === undefined ? {} : { verify: { ...verify, keys } }),
      ...(files.length === 0 ? {} : { authFiles: files }),
    };
  });
}

function read(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `${what}: ${(error as Error).message}`);
  }
}

function checkAuthFile(what: string, path: string): void {
  const text = read(path, `${what}: cannot read it`);
  try {
    JSON.parse(text);
  } catch {
    // The parser's own words would repeat a part of the file.
    throw new DamselflyError(
      'CONFIG_INVALID',
      `${what} ${path}: not JSON; expected docker's config.json or containers' auth.json`,
    );
  }
}
