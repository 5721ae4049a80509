import { loadAdminToken } from '../config/load-admin-token.ts';
import { loadUpstreams } from '../config/load-upstreams.ts';
import { loadZone } from '../config/load-zone.ts';
import type { Role } from '../core/node.ts';
import { type CredentialsConfig, checkCredentials } from '../security/system/open-credentials.ts';
import { createNodeDisk } from '../store/disk/node-disk.ts';
import { storeOptions } from './data-dirs.ts';
import { loadClusterKey } from './open-discovery.ts';
import type { PeerHostConfig } from './peer-host-config.ts';

/**
 * Looks at the files that the settings name and at what they say together, as the start of a process does, and changes
 * nothing.
 * @throws CONFIG_INVALID
 */
export async function checkHostConfig(config: PeerHostConfig & CredentialsConfig, role: Role): Promise<void> {
  storeOptions(config);
  loadUpstreams(config.upstream, config.authFile, loadZone(config));
  loadAdminToken(config.adminTokenFile);
  await loadClusterKey(createNodeDisk(), config.clusterKeyFile);
  await checkCredentials(config, role);
}
