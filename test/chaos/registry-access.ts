import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import type { DockerRegistryOptions } from '../../bench/fixtures/docker-registry.ts';
import type { NetworkNode } from '../../bench/fixtures/network.ts';
import { ISSUER, SERVICE } from '../helpers/token-server.ts';

/** `basic`: every client has the password. `bearer`: only the nodes have an account, and trust it for their clients. */
export type AccessKind = 'public' | 'basic' | 'bearer';

/** Who may read the registry. */
export interface RegistryAccess {
  /** Of the registry's configuration. */
  readonly registry: Pick<DockerRegistryOptions, 'htpasswd' | 'tokens'>;
  /** Of the upstream in the configuration of nodes and supernodes. */
  readonly upstream: Readonly<Record<string, string>>;
  /** What clients send. */
  readonly client?: { readonly user: string; readonly password: string };
  close(): Promise<void>;
}

const USER = 'alice';
const PASSWORD = 'secret';

/** @param place the machine of the registry: accounts are not sent to token servers elsewhere */
export async function grantAccess(
  kind: AccessKind,
  folder: string,
  place: NetworkNode,
): Promise<RegistryAccess> {
  switch (kind) {
    case 'public':
      return { registry: {}, upstream: {}, close: async () => {} };
    case 'basic': {
      const htpasswd = join(folder, 'htpasswd');
      const { code, output, stdout } = await run('htpasswd', ['-Bbn', USER, PASSWORD]);
      if (code !== 0) throw new Error(`htpasswd: ${output.trim()}`);
      await writeFile(htpasswd, stdout);
      const client = { user: USER, password: PASSWORD };
      return { registry: { htpasswd }, upstream: {}, client, close: async () => {} };
    }
    case 'bearer': {
      const server = await startChild<{ realm: string; certificate: string }>({
        command: 'ip',
        args: [
          ...['netns', 'exec', place.namespace, process.execPath],
          ...[join(import.meta.dirname, 'token-server-main.ts'), '--host', place.peerHost],
          ...['--folder', folder, '--user', USER, '--password', PASSWORD],
        ],
        logFile: join(folder, 'token-server.log'),
        ready: jsonReady('token-server'),
      });
      const { certificate, realm } = server.ready;
      return {
        registry: { tokens: { realm, issuer: ISSUER, service: SERVICE, rootcertbundle: certificate } },
        upstream: { username: USER, password: PASSWORD, trust: 'node' },
        close: () => server.stop(),
      };
    }
  }
}
