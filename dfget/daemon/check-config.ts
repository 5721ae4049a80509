import type { Logger } from '../../lib/observe/log.ts';
import type { Clock } from '../../lib/runtime/clock.ts';
import { checkHostConfig } from '../../lib/transfer/check-host-config.ts';
import { requireUpstreams } from '../../registry-proxy/server.ts';
import type { DaemonConfig } from './config.ts';
import { offlineNames, proxyConfig } from './proxy-config.ts';
import { loadProxyTls, plainProxyNotes } from './proxy-exposure.ts';

/**
 * Whether a daemon would start with these settings, as far as they and the files that they name can tell.
 * @returns what it would say of them at each start
 * @throws CONFIG_INVALID
 */
export async function checkDaemonConfig(
  deps: { readonly clock: Clock; readonly log: Logger },
  config: DaemonConfig,
): Promise<readonly string[]> {
  await checkHostConfig(config, 'node');
  const names = [...offlineNames(config), ...config.upstream.map(({ name }) => name)];
  requireUpstreams(names, proxyConfig(config, names, ''));
  loadProxyTls(deps, config);
  return plainProxyNotes(config);
}
