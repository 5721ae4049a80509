import type { LiveTable } from '../command/live-settings.ts';
import type { Logger } from '../observe/log.ts';
import { type HostParts, limitSettings, type PeerHostConfig } from './peer-host.ts';

export type LiveHostConfig = PeerHostConfig & { readonly logLevel: string };

/** What of the settings of a node daemon and a supernode can be changed while they run. */
export function liveHostSettings(
  { limits, pool }: Pick<HostParts, 'limits' | 'pool'>,
  log: Pick<Logger, 'level'>,
): LiveTable<LiveHostConfig> {
  const setLimits = (config: LiveHostConfig): void => limits.change(limitSettings(config));
  return {
    uploadRate: setLimits,
    downloadRate: setLimits,
    registryRate: setLimits,
    maxConnections: setLimits,
    bufferMemory: ({ bufferMemory }) => pool.resize(bufferMemory),
    logLevel: ({ logLevel }) => {
      log.level = logLevel;
    },
  };
}
