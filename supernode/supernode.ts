import type { RunningProcess } from '../lib/runtime/system-process.ts';
import { openPeerHost, type PeerHostDeps } from '../lib/transfer/peer-host.ts';
import { SeedEngine } from '../lib/transfer/seed-engine.ts';
import type { SupernodeConfig } from './config.ts';

/**
 * A supernode: reads each blob that nodes ask for from its registry once, and seeds it.
 * @throws CONFIG_INVALID (also when an address cannot be listened on), STORE_*
 */
export async function createSupernode(deps: PeerHostDeps, config: SupernodeConfig): Promise<RunningProcess> {
  let drain = async (): Promise<void> => {};
  const host = await openPeerHost(deps, config, 'supernode', (parts) => {
    const engine = new SeedEngine(parts);
    drain = () => engine.drain();
    return engine;
  });
  const { id } = host.self();
  const { adminAddress: admin, peerAddress: peer } = host;
  deps.log.info({ id, peer, admin, trackers: config.tracker }, 'supernode runs');
  return {
    ready: { process: 'supernode', pid: process.pid, id, peer, admin },
    summary: `supernode ${id.slice(0, 8)}: peers on ${peer}, admin on http://${admin}`,
    close: async () => {
      await drain();
      await host.close();
    },
  };
}
