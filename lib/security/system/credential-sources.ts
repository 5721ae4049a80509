import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DamselflyError, describeError } from '../../core/errors.ts';
import { bundleOf, type ClusterAuthority, fingerprintOf } from '../cluster-authority.ts';
import { type NextKeys, renewAtMs } from '../credentials.ts';
import { createCertificateRequest, createMemberKey, memberNameOf } from '../enrolment.ts';
import type { MemberRole } from '../identity.ts';
import { type JoinToken, readJoinToken } from '../join-token.ts';
import { identityOf } from '../member.ts';
import { certificatesIn } from '../rotation.ts';
import { joinCluster, renewMembership } from './enrolment-client.ts';
import type { TlsKeys } from './mutual-tls.ts';
import { readIfThere, readRequired, writeWhole } from './secret-files.ts';

/** First keys, and where the next come from. */
export interface CredentialSource {
  readonly keys: TlsKeys;
  readonly next: NextKeys;
}

/** Cluster time, milliseconds since the epoch. */
type NowMs = () => number;

/** Files that somebody else keeps up to date: read again and again. @throws CONFIG_INVALID */
export async function keysFromFiles(files: {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}): Promise<CredentialSource> {
  const read = async (): Promise<TlsKeys> => {
    const [cert, key, ca] = await Promise.all([files.cert, files.key, files.ca].map(readRequired));
    const keys = { cert: cert ?? '', key: key ?? '', ca: ca ?? '' };
    if (!belongTogether(keys)) {
      const message = `${files.cert} and ${files.key} are not a certificate and its key`;
      throw new DamselflyError('CONFIG_INVALID', message);
    }
    return keys;
  };
  return {
    keys: await read(),
    next: async (now) => {
      const found = await read();
      return found.cert === now.cert && found.key === now.key && found.ca === now.ca ? undefined : found;
    },
  };
}

/** For a process that holds the authority: it writes its own certificates. The key is kept in `folder`, if there is one. */
export async function keysFromAuthority(
  authority: ClusterAuthority,
  member: { readonly folder?: string; readonly role: MemberRole; readonly zone: string },
  nowMs: NowMs,
): Promise<CredentialSource> {
  const { folder, role, zone } = member;
  const key = folder === undefined ? newKey(role) : await loadKey(folder, role);
  const publicKey = createPublicKey(key);
  const identity = { cluster: authority.cluster, role, name: memberNameOf(publicKey), zone };
  const hostNames = role === 'tracker' ? [hostname()] : [];
  const issue = async (): Promise<TlsKeys> => ({
    key,
    cert: await authority.issue({ identity, publicKey, hostNames, nowMs: nowMs() }),
    ca: bundleOf(authority),
  });
  const isOfNow = ({ cert }: TlsKeys): boolean => new X509Certificate(cert).verify(authority.publicKey);
  return {
    keys: await issue(),
    next: async (now) => (isDue(now, nowMs()) || !isOfNow(now) ? issue() : undefined),
  };
}

/** The authority of the token that made us a member: the cluster may have another one by now. */
const JOINED_BY = 'joined-by';

export interface JoinOptions {
  /** Where key and certificate are kept. */
  readonly folder: string;
  readonly role: MemberRole;
  readonly zone: string;
  /** Public ports of trackers, asked in turn. */
  readonly trackers: readonly string[];
  /** Needed when there is no certificate yet, or it has expired. */
  readonly token?: string | undefined;
}

/**
 * The membership that a tracker gives: the one kept from last time, else a new one for the token.
 * @throws CONFIG_INVALID when there is neither, IDENTITY_REFUSED, TRACKER_UNREACHABLE, ABORTED
 */
export async function keysFromTracker(
  options: JoinOptions,
  nowMs: NowMs,
  signal: AbortSignal,
): Promise<CredentialSource> {
  const { folder, role, trackers, zone } = options;
  const pinned = options.token === undefined ? undefined : tokenFor(role, options.token);
  const kept = await loadKept(folder, { role, pinned }, nowMs());
  if (kept === undefined && pinned === undefined) throw needsToken(folder, role);
  const key = await loadKey(folder, role);
  const request = await loadRequest(folder, key);
  const save = async (answer: {
    readonly certificate: string;
    readonly authority: string;
  }): Promise<TlsKeys> => {
    const keys = { key, cert: answer.certificate, ca: answer.authority };
    if (!belongTogether(keys)) {
      throw new DamselflyError('TRACKER_UNREACHABLE', 'the tracker sent a certificate for another key');
    }
    await writeWhole(join(folder, 'ca.crt'), keys.ca, 0o644);
    await writeWhole(join(folder, 'member.crt'), keys.cert, 0o644);
    return keys;
  };
  const next: NextKeys = async (now, until, outdated) =>
    outdated || isDue(now, nowMs())
      ? save(await askInTurn(trackers, (base) => renewMembership(base, { keys: now, request, zone }, until)))
      : undefined;
  if (kept !== undefined) return { keys: { ...kept, key }, next };
  const { token } = options;
  if (token === undefined || pinned === undefined) throw needsToken(folder, role);
  const asked = { token, pinned, request, zone };
  const keys = await save(await askInTurn(trackers, (base) => joinCluster(base, asked, signal)));
  await writeWhole(join(folder, JOINED_BY), `${pinned.authority.toString('hex')}\n`, 0o644);
  return { keys, next };
}

/** What the token says. @throws CONFIG_INVALID when it is none, or for another role */
export function tokenFor(role: MemberRole, text: string): JoinToken {
  const token = readJoinToken(text);
  if (token.role === role) return token;
  throw new DamselflyError('CONFIG_INVALID', `the join token is for a ${token.role}, this is a ${role}`);
}

function needsToken(folder: string, role: MemberRole): DamselflyError {
  return new DamselflyError(
    'CONFIG_INVALID',
    `this ${role} is no member of a cluster (no valid certificate in ${folder}): give --join-token with a token of ` +
      `\`damselfly token create --role ${role}\`, or --tls-cert, --tls-key and --tls-ca; ` +
      'or --insecure, on a network where everyone is trusted',
  );
}

/** The first answer; else the first refusal, which says more than that somebody else does not answer. */
async function askInTurn<T>(trackers: readonly string[], ask: (base: string) => Promise<T>): Promise<T> {
  const failures: unknown[] = [];
  for (const base of trackers) {
    try {
      return await ask(base);
    } catch (error) {
      failures.push(error);
    }
  }
  for (const error of failures) {
    if (error instanceof DamselflyError && error.code !== 'TRACKER_UNREACHABLE') throw error;
  }
  const why = failures.length === 0 ? 'no tracker to enrol with' : failures.map(describeError).join('; ');
  throw new DamselflyError('TRACKER_UNREACHABLE', why);
}

/** Certificate and authority of last time, if they still count: for the role, and the cluster of a token. */
async function loadKept(
  folder: string,
  wanted: { readonly role: MemberRole; readonly pinned: JoinToken | undefined },
  nowMs: number,
): Promise<Omit<TlsKeys, 'key'> | undefined> {
  const [cert, ca, key, joinedBy] = await Promise.all(
    ['member.crt', 'ca.crt', 'member.key', JOINED_BY].map((name) => readIfThere(join(folder, name))),
  );
  if (cert === undefined || ca === undefined || key === undefined) return undefined;
  if (!belongTogether({ cert, key })) return undefined;
  const certificate = new X509Certificate(cert);
  const { pinned, role } = wanted;
  const counts =
    identityOf(certificate)?.role === role &&
    certificate.validToDate.getTime() > nowMs &&
    (pinned === undefined ||
      joinedBy?.trim() === pinned.authority.toString('hex') ||
      certificatesIn(ca).some((pem) => fingerprintOf(new X509Certificate(pem)).equals(pinned.authority)));
  return counts ? { cert, ca } : undefined;
}

/** The member's key, PEM; made when there is none. @throws CONFIG_INVALID */
async function loadKey(folder: string, role: MemberRole): Promise<string> {
  const path = join(folder, 'member.key');
  const kept = await readIfThere(path);
  if (kept !== undefined) return kept;
  const key = newKey(role);
  await writeWhole(path, key, 0o600);
  return key;
}

function newKey(role: MemberRole): string {
  return createMemberKey(role).export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Kept beside the key: to make one loads a library of 20 MiB, which a daemon that only renews never needs. */
async function loadRequest(folder: string, key: string): Promise<string> {
  const path = join(folder, 'member.csr');
  const kept = await readIfThere(path);
  if (kept !== undefined) return kept;
  const request = await createCertificateRequest(createPrivateKey(key));
  await writeWhole(path, request, 0o644);
  return request;
}

function belongTogether({ cert, key }: Pick<TlsKeys, 'cert' | 'key'>): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function isDue({ cert }: TlsKeys, nowMs: number): boolean {
  return nowMs >= renewAtMs(new X509Certificate(cert));
}
