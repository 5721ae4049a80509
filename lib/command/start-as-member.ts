import { loadZone, type ZoneConfig } from '../config/load-zone.ts';
import { DamselflyError } from '../core/errors.ts';
import type { RunningProcess } from '../runtime/system-process.ts';
import type { ClusterAuthority } from '../security/cluster-authority.ts';
import type { Credentials } from '../security/credentials.ts';
import type { MemberRole } from '../security/identity.ts';
import { type CredentialsConfig, openCredentials } from '../security/system/open-credentials.ts';
import type { ProcessDeps } from './process-command.ts';

/**
 * Finds out who the process is, before it is started, and keeps that up to date until it is closed.
 * @param member.folder where its key and certificates are kept
 * @throws CONFIG_INVALID, IDENTITY_REFUSED, TRACKER_UNREACHABLE, and what `start` does
 */
export async function startAsMember(
  deps: ProcessDeps,
  config: CredentialsConfig & ZoneConfig,
  member: {
    readonly folder: string | undefined;
    readonly role: MemberRole;
    readonly authority?: ClusterAuthority | undefined;
  },
  start: (deps: ProcessDeps & { readonly credentials: Credentials | undefined }) => Promise<RunningProcess>,
): Promise<RunningProcess> {
  const { folder } = member;
  if (folder === undefined) throw new DamselflyError('CONFIG_INVALID', '--data-dir: give at least one');
  const credentials = await openCredentials(
    deps,
    { ...config, zone: loadZone(config) },
    { ...member, folder },
  );
  try {
    const running = await start({ ...deps, credentials });
    const { ended, ready, stopLimitMs, summary } = running;
    return {
      ...{ ready, summary },
      ...(ended === undefined ? {} : { ended }),
      ...(stopLimitMs === undefined ? {} : { stopLimitMs }),
      close: async () => {
        await running.close();
        credentials?.close();
      },
    };
  } catch (error) {
    credentials?.close();
    throw error;
  }
}
