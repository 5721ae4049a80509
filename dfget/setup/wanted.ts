import { join } from 'node:path';
import { loadConfig } from '../../lib/config/load.ts';
import { type ProxyListener, proxyListener } from '../../lib/config/values.ts';
import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { joinAddress } from '../../lib/observe/admin-server.ts';
import { canonicalRegistry } from '../../lib/oci/reference.ts';
import { plainNames } from '../../lib/origin/upstream.ts';
import { daemonConfig } from '../daemon/config.ts';
import type { DaemonStatus } from '../local-protocol.ts';
import type { WantedRegistry } from './client.ts';

/** What the user said of registries and mirror. */
export interface WantedFlags {
  /** `NAME` or `NAME=URL` */
  readonly upstream?: readonly string[];
  /** `[NAME=]host:port` */
  readonly proxy?: readonly string[];
}

/** What the daemon serves, and where. */
export interface Served {
  readonly upstreams: readonly string[];
  /** Those of them that clients, too, find at `http://NAME`. */
  readonly plain: readonly string[];
  readonly listeners: readonly ProxyListener[];
}

const REGISTRY_NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?$/;
const PLAIN_URL = /^https?:\/\/[A-Za-z0-9.[\]:-]+$/;

/**
 * The registries that the client is to ask the mirror for: as the flags say, and where they say nothing as the daemon
 * serves them.
 * @throws CONFIG_INVALID
 */
export async function wantedRegistries(
  flags: WantedFlags,
  served: () => Promise<Served>,
): Promise<WantedRegistry[]> {
  const { upstream = [], proxy = [] } = flags;
  const daemon =
    upstream.length > 0 && proxy.length > 0 ? { upstreams: [], plain: [], listeners: [] } : await served();
  const listeners = proxy.length > 0 ? proxy.map(parseListener) : daemon.listeners;
  const wanted = (upstream.length > 0 ? upstream : addressed(daemon)).map(parseUpstream);
  if (wanted.length === 0) {
    throw new DamselflyError(
      'CONFIG_INVALID',
      'no registry is known to the daemon: name some with --upstream NAME',
    );
  }
  const general = listeners.find((listener) => listener.upstream === undefined);
  return wanted.map(({ name, url }) => {
    const own = listeners.find((listener) => listener.upstream === name);
    const listener = own ?? general;
    if (listener === undefined) {
      throw new DamselflyError(
        'CONFIG_INVALID',
        `no mirror address is known for ${name}: give it with --proxy HOST:PORT`,
      );
    }
    return {
      name,
      ...(url === undefined ? {} : { url }),
      mirror: joinAddress(reachable(listener.host), listener.port),
      ownListener: own !== undefined,
    };
  });
}

/** As a running daemon tells it. */
export function servedByDaemon({ plainUpstreams = [], proxy, upstreams }: DaemonStatus): Served {
  return { upstreams, plain: plainUpstreams, listeners: proxy };
}

/** As flags would say it. */
function addressed({ plain, upstreams }: Served): readonly string[] {
  return upstreams.map((name) => (plain.includes(name) ? `${name}=http://${name}` : name));
}

/** As the configuration file of the daemon under `root` tells it, and the environment on this machine itself. */
function servedByConfig(root: string): Served {
  const { upstream, proxyListen } = loadConfig(daemonConfig, {
    flags: {},
    env: root === '/' ? process.env : {},
    defaultFile: join(root, '/etc/damselfly/daemon.yaml'),
  });
  return { upstreams: upstream.map(({ name }) => name), plain: plainNames(upstream), listeners: proxyListen };
}

/** What is served on this machine or, when `root` is another, will be. */
export async function servedHere(root: string, askDaemon: () => Promise<DaemonStatus>): Promise<Served> {
  if (root !== '/') return servedByConfig(root);
  try {
    return servedByDaemon(await askDaemon());
  } catch (error) {
    if (!hasCode(error, 'DAEMON_UNREACHABLE')) throw error;
    return servedByConfig(root);
  }
}

function parseUpstream(text: string): { name: string; url?: string } {
  const at = text.indexOf('=');
  const given = (at === -1 ? text : text.slice(0, at)).toLowerCase();
  const url = at === -1 ? undefined : text.slice(at + 1).replace(/\/+$/, '');
  const name = canonicalRegistry(given);
  if (REGISTRY_NAME.test(name) && (url === undefined || PLAIN_URL.test(url))) {
    return { name, ...(url === undefined ? {} : { url }) };
  }
  throw new DamselflyError(
    'CONFIG_INVALID',
    `--upstream: got ${JSON.stringify(text)}; expected NAME, such as harbor.corp, or NAME=URL when clients find it elsewhere than under https://NAME`,
  );
}

function parseListener(text: string): ProxyListener {
  const parsed = proxyListener().safeParse(text);
  if (parsed.success && parsed.data.port !== 0) return parsed.data;
  throw new DamselflyError(
    'CONFIG_INVALID',
    `--proxy: got ${JSON.stringify(text)}; expected [NAME=]host:port, such as 127.0.0.1:65001`,
  );
}

/** Where a client on the machine reaches a listener on every address. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}
