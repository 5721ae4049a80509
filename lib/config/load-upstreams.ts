import { readFileSync } from 'node:fs';
import { DamselflyError } from '../core/errors.ts';
import type { TokenVerification, Upstream } from '../core/upstream.ts';
import { nearness } from '../core/zones.ts';
import type { UpstreamConfig } from './upstream.ts';

/**
 * The upstreams with the text of their PEM files instead of the paths, and `authFiles` after their own: files of
 * credentials stay paths, because their content changes.
 * @param zone ours: addresses nearest to it come first
 * @throws CONFIG_INVALID, also for a file that cannot be read or is not JSON
 */
export function loadUpstreams(
  configs: readonly UpstreamConfig[],
  authFiles: readonly string[] = [],
  zone = '',
): Upstream[] {
  for (const path of authFiles) checkAuthFile('--auth-file', path);
  const seen = new Set<string>();
  return configs.map((config) => {
    const { name } = config;
    if (seen.has(name)) throw new DamselflyError('CONFIG_INVALID', `--upstream: ${name} is given twice`);
    seen.add(name);
    for (const path of config.authFiles ?? []) checkAuthFile(`upstream ${name}: auth-file`, path);
    const { caFile, clientCertFile, clientKeyFile, replicas, url, verify, zones = [], ...rest } = config;
    const pem = (key: string, path: string): string =>
      read(path, `upstream ${name}: cannot read the ${key} file`);
    const files = [...(config.authFiles ?? []), ...authFiles];
    const addresses = [url, ...(replicas ?? [])];
    const [nearest = url, ...others] = nearestFirst(addresses, zones, zone);
    return {
      ...rest,
      url: nearest,
      ...(others.length === 0 ? {} : { replicas: others }),
      ...(caFile === undefined ? {} : { ca: pem('ca', caFile) }),
      ...(clientCertFile === undefined ? {} : { clientCert: pem('client-cert', clientCertFile) }),
      ...(clientKeyFile === undefined ? {} : { clientKey: pem('client-key', clientKeyFile) }),
      ...(verify === undefined ? {} : { verify: verification(verify, pem) }),
      ...(files.length === 0 ? {} : { authFiles: files }),
    };
  });
}

/** Those as near as each other stay in order. @param zones of the addresses */
function nearestFirst(
  addresses: readonly string[],
  zones: readonly string[],
  zone: string,
): readonly string[] {
  const ranked = addresses.map((address, at) => ({ address, near: nearness(zones[at] ?? '', zone) }));
  return ranked.sort((a, b) => b.near - a.near).map(({ address }) => address);
}

function verification(
  { keysFile, ...verify }: NonNullable<UpstreamConfig['verify']>,
  pem: (key: string, path: string) => string,
): TokenVerification {
  return { ...verify, keys: pem('verify-keys', keysFile) };
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
