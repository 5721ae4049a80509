import { join } from 'node:path';
import { DamselflyError, hasCode } from '../../core/errors.ts';
import { delay } from '../../runtime/clock.ts';
import type { ClusterAuthority } from '../cluster-authority.ts';
import { ClusterTime } from '../cluster-time.ts';
import { Credentials, type CredentialsDeps } from '../credentials.ts';
import type { MemberRole } from '../identity.ts';
import { ensureAuthority } from './authority-folder.ts';
import {
  type CredentialSource,
  type JoinOptions,
  keysFromAuthority,
  keysFromFiles,
  keysFromTracker,
  tokenFor,
} from './credential-sources.ts';
import { openTrustFolder } from './trust-folder.ts';

/** Settings of who a process is. */
export interface CredentialsConfig {
  readonly insecure: boolean;
  readonly joinToken?: string | undefined;
  /** URLs of trackers' public ports. @default port 8401 of each of `tracker` */
  readonly enroll: readonly string[];
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
  /** Control URLs. */
  readonly tracker: readonly string[];
  /** `dht`, or peers to begin with: there are others, although there is no tracker. */
  readonly discovery?: 'auto' | 'tracker' | 'dht';
  readonly bootstrap?: readonly object[];
  readonly zone: string;
}

/** The tracker that is to enrol us may be starting too. */
const JOIN_PATIENCE_MS = 30_000;
const JOIN_AGAIN_MS = 1_000;
const PUBLIC_PORT = 8401;
/** Who we are, in the data directory. */
const IDENTITY = 'identity';

/**
 * Finds out who this process is: files of the operator's own authority, the cluster's authority where this process
 * holds it, what a tracker gave it earlier or gives it now for a join token. A process without any tracker is a cluster
 * of its own. Undefined: plain connections, because the operator said so.
 * @param folder where keys and certificates are kept
 * @throws CONFIG_INVALID, IDENTITY_REFUSED, TRACKER_UNREACHABLE
 */
export async function openCredentials(
  deps: CredentialsDeps,
  config: CredentialsConfig,
  member: {
    readonly folder: string;
    readonly role: MemberRole;
    readonly authority?: ClusterAuthority | undefined;
  },
): Promise<Credentials | undefined> {
  if (config.insecure) {
    deps.log.warn('insecure: connections between processes are neither encrypted nor authenticated');
    return undefined;
  }
  const time = deps.time ?? new ClusterTime(deps.clock, deps.wallClockMs);
  const { keys, next } = await findSource({ ...deps, time }, config, member);
  const folder = await openTrustFolder(join(member.folder, IDENTITY), deps.log);
  const credentials = new Credentials({ ...deps, time }, keys, next, folder);
  const { identity } = credentials;
  if (identity.role !== member.role) {
    credentials.close();
    const message = `our certificate is for a ${identity.role}, this is a ${member.role}`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  void credentials.look();
  return credentials;
}

async function findSource(
  deps: CredentialsDeps & { readonly time: ClusterTime },
  config: CredentialsConfig,
  { authority, folder, role }: Parameters<typeof openCredentials>[2],
): Promise<CredentialSource> {
  const { joinToken: token, zone } = config;
  const given = await givenKeys(config);
  if (given !== undefined) return given;
  const own = { folder: join(folder, IDENTITY), role, zone };
  const nowMs = (): number => deps.time.nowMs();
  if (authority !== undefined) return await keysFromAuthority(authority, own, nowMs);
  if (role !== 'tracker' && token === undefined && isAlone(config)) {
    deps.log.info('no tracker: this process is a cluster of its own');
    const alone = await ensureAuthority(join(folder, 'ca'), nowMs);
    return await keysFromAuthority(alone, own, nowMs);
  }
  const trackers = config.enroll.length > 0 ? config.enroll : config.tracker.map(publicUrl);
  return await joinPatiently(deps, { ...own, trackers, token });
}

/** Looks at what the settings give of who a process is, without asking anybody. @throws CONFIG_INVALID */
export async function checkCredentials(
  config: Pick<CredentialsConfig, 'insecure' | 'joinToken' | 'tlsCa' | 'tlsCert' | 'tlsKey'>,
  role: MemberRole,
): Promise<void> {
  if (config.insecure || (await givenKeys(config)) !== undefined) return;
  if (config.joinToken !== undefined) tokenFor(role, config.joinToken);
}

/** Keys by an authority of the operator's own, if there is one. @throws CONFIG_INVALID */
async function givenKeys({
  tlsCa: ca,
  tlsCert: cert,
  tlsKey: key,
}: Pick<CredentialsConfig, 'tlsCa' | 'tlsCert' | 'tlsKey'>): Promise<CredentialSource | undefined> {
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert !== undefined && key !== undefined && ca !== undefined) {
    return await keysFromFiles({ cert, key, ca });
  }
  const message = '--tls-cert, --tls-key and --tls-ca: give all three, or none';
  throw new DamselflyError('CONFIG_INVALID', message);
}

function isAlone({ bootstrap = [], discovery, enroll, tracker }: CredentialsConfig): boolean {
  return tracker.length === 0 && enroll.length === 0 && bootstrap.length === 0 && discovery !== 'dht';
}

async function joinPatiently(
  { clock, log, time }: CredentialsDeps & { readonly time: ClusterTime },
  options: JoinOptions,
): Promise<CredentialSource> {
  const ending = new AbortController();
  const untilMs = clock.now() + JOIN_PATIENCE_MS;
  const cancel = clock.after(JOIN_PATIENCE_MS, () => ending.abort(new Error('no tracker in time')));
  try {
    for (let failures = 0; ; failures++) {
      try {
        return await keysFromTracker(options, () => time.nowMs(), ending.signal);
      } catch (error) {
        const again = hasCode(error, 'TRACKER_UNREACHABLE') && clock.now() + JOIN_AGAIN_MS < untilMs;
        if (!again) throw hasCode(error, 'ABORTED') ? noTracker(options) : error;
        if (failures === 0) log.warn({ problem: error.message }, 'not enrolled yet: asking again');
        await delay(clock, JOIN_AGAIN_MS);
      }
    }
  } finally {
    cancel();
  }
}

function noTracker({ trackers }: JoinOptions): DamselflyError {
  return new DamselflyError(
    'TRACKER_UNREACHABLE',
    `no tracker enrols us at ${trackers.join(', ')}; if their public port is another, say so with --enroll`,
  );
}

/** Where a tracker's public port is unless somebody says otherwise. */
function publicUrl(control: string): string {
  const url = new URL(control);
  return `https://${url.hostname}:${PUBLIC_PORT}`;
}
