import { join } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';
import { stalePolicy } from '../../registry-proxy/last-known.ts';
import type { RegistryProxyConfig } from '../../registry-proxy/server.ts';
import type { DaemonConfig } from './config.ts';

/** What the registry proxy is told. */
export function proxyConfig(
  config: DaemonConfig,
  upstreams: readonly string[],
  stateFolder: string,
): RegistryProxyConfig {
  const { forwardProxy, forwardRule: rules } = config;
  const only = upstreams.length === 1 ? upstreams[0] : undefined;
  // A pattern stands for many.
  const defaultUpstream = config.defaultUpstream ?? (only?.includes('*') === true ? undefined : only);
  return {
    listeners: config.proxyListen,
    hosts: config.proxyHost,
    stale: stalePolicy(config.staleIfError, config.tagsWhenDown),
    ...(defaultUpstream === undefined ? {} : { defaultUpstream }),
    ...(forwardProxy === undefined
      ? {}
      : { forward: { ...forwardProxy, rules, folder: join(stateFolder, 'forward-proxy') } }),
  };
}

/** Names of the registries that are not there. @throws CONFIG_INVALID when one of them is */
export function offlineNames({ offlineRegistry, upstream }: DaemonConfig): readonly string[] {
  const both = offlineRegistry.find((name) => upstream.some((each) => each.name === name));
  if (both === undefined) return offlineRegistry;
  throw new DamselflyError('CONFIG_INVALID', `--offline-registry ${both}: it is also given as an --upstream`);
}
