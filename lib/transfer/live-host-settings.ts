import type { LiveTable } from '../command/live-settings.ts';
import type { Logger } from '../observe/log.ts';
import type { HostParts } from './host-parts.ts';
import type { LimitSettings } from './limits.ts';
import { limitSettings, type PeerHostConfig } from './peer-host-config.ts';

export type LiveHostConfig = PeerHostConfig & { readonly logLevel: string };

/** What of the settings of a node daemon and a supernode can be changed while they run. */
export function liveHostSettings(
  { limits, pool }: Pick<HostParts, 'limits' | 'pool'>,
  log: Pick<Logger, 'level'>,
): LiveTable<LiveHostConfig> {
  const one =
    (name: keyof LimitSettings) =>
    (config: LiveHostConfig): void =>
      limits.change({ [name]: limitSettings(config)[name] });
  return {
    uploadRate: one('uploadRate'),
    downloadRate: one('downloadRate'),
    registryRate: one('registryRate'),
    maxConnections: one('maxConnections'),
    bufferMemory: ({ bufferMemory }) => pool.resize(bufferMemory),
    logLevel: ({ logLevel }) => {
      log.level = logLevel;
    },
  };
}
