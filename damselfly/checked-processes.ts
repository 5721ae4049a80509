import type { z } from 'zod';
import { checkDaemonConfig } from '../dfget/daemon/check-config.ts';
import { daemonConfig } from '../dfget/daemon/config.ts';
import type { ProcessDeps } from '../lib/command/process-command.ts';
import { type ConfigSources, loadConfig, type Shape } from '../lib/config/load.ts';
import { loadAdminToken } from '../lib/config/load-admin-token.ts';
import { checkCredentials } from '../lib/security/system/open-credentials.ts';
import { checkHostConfig } from '../lib/transfer/check-host-config.ts';
import { supernodeConfig } from '../supernode/config.ts';
import { checkApiKeys } from '../tracker/api/follow-api-keys.ts';
import { trackerConfig } from '../tracker/config.ts';
import { daemonOf, supernodeOf, upConfig } from './up-config.ts';

type Deps = Pick<ProcessDeps, 'clock' | 'log'>;

/** A process whose settings can be looked at without starting it. */
export interface CheckedProcess {
  readonly schema: z.ZodObject<Shape>;
  /**
   * Looks at the settings, at the files that they name, and at what they say together.
   * @returns what the process would say of them at each start
   * @throws CONFIG_INVALID
   */
  check(deps: Deps, sources: ConfigSources): Promise<readonly string[]>;
}

/** Of the cluster on one machine only the addresses are made up. */
const OWN_CLUSTER = {
  tracker: 'wss://127.0.0.1:8400',
  enroll: 'https://127.0.0.1:8401',
  announce: 'https://127.0.0.1:8401',
};

/** By the word that starts them. */
export const CHECKED_PROCESSES: Readonly<Record<string, CheckedProcess>> = {
  daemon: checked(daemonConfig, checkDaemonConfig),
  supernode: checked(supernodeConfig, async (_deps, config) => {
    await checkHostConfig(config, 'supernode');
    return [];
  }),
  tracker: checked(trackerConfig, async (_deps, config) => {
    loadAdminToken(config.adminTokenFile);
    await checkApiKeys(config.apiKeyFile);
    await checkCredentials(config, 'tracker');
    return [];
  }),
  up: checked(upConfig, async (deps, config) => {
    await checkApiKeys(config.apiKeyFile);
    await checkHostConfig(supernodeOf(config, OWN_CLUSTER), 'supernode');
    return await checkDaemonConfig(deps, daemonOf(config, OWN_CLUSTER));
  }),
};

function checked<S extends Shape>(
  schema: z.ZodObject<S>,
  check: (deps: Deps, config: z.output<z.ZodObject<S>>) => Promise<readonly string[]>,
): CheckedProcess {
  return { schema, check: async (deps, sources) => await check(deps, loadConfig(schema, sources)) };
}
