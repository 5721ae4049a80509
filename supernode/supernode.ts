import { LiveSettings, type LiveTable } from '../lib/command/live-settings.ts';
import type { SettingsSources } from '../lib/command/process-command.ts';
import { openS3 } from '../lib/objects/s3/s3-object-store.ts';
import type { RunningProcess } from '../lib/runtime/system-process.ts';
import type { EngineDeps } from '../lib/transfer/engine-deps.ts';
import type { PeerHostDeps } from '../lib/transfer/host-parts.ts';
import { liveHostSettings } from '../lib/transfer/live-host-settings.ts';
import { openPeerHost, type PeerHost } from '../lib/transfer/peer-host.ts';
import { SeedEngine } from '../lib/transfer/seed/seed-engine.ts';
import type { SupernodeConfig } from './config.ts';

/**
 * A supernode: reads each blob that nodes ask for from its registry once, and seeds it.
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_*
 */
export async function createSupernode(
  deps: PeerHostDeps,
  config: SupernodeConfig,
  sources?: SettingsSources<SupernodeConfig>,
): Promise<RunningProcess> {
  const objects = config.blobStore === undefined ? undefined : await openS3(config.blobStore);
  let host: PeerHost<SeedEngine>;
  try {
    const habits = { sessionMaxMs: config.sessionMax };
    const create = (parts: EngineDeps): SeedEngine => new SeedEngine({ ...parts, objects }, {}, habits);
    host = await openPeerHost(deps, config, 'supernode', create);
  } catch (error) {
    objects?.close();
    throw error;
  }
  host.addNotes(() => host.engine.notes);
  if (sources !== undefined) followFile(deps, config, sources, host);
  const { id } = host.self();
  const { adminAddress: admin, peerAddress: peer } = host;
  deps.log.info({ id, peer, admin, trackers: config.tracker }, 'supernode runs');
  return {
    ready: { process: 'supernode', pid: process.pid, id, peer, admin },
    summary: `supernode ${id.slice(0, 8)}: peers on ${peer}, admin on http://${admin}`,
    close: async () => {
      await host.engine.drain();
      await host.close();
      objects?.close();
    },
  };
}

/** Settings that can be changed live follow the settings file. */
function followFile(
  { log }: PeerHostDeps,
  config: SupernodeConfig,
  sources: SettingsSources<SupernodeConfig>,
  host: PeerHost<SeedEngine>,
): void {
  const { limits, metrics, pool } = host;
  const table: LiveTable<SupernodeConfig> = {
    ...liveHostSettings({ limits, pool }, log),
    borderRate: ({ borderRate = Number.POSITIVE_INFINITY }) => limits.change({ borderRate }),
  };
  const live = new LiveSettings({ log, metrics }, { config, read: sources.read, table });
  const stop = sources.watch(() => live.reload());
  host.onClose(async () => stop());
  host.addNotes(() => live.refusals);
}
