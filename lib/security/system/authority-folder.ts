import { join } from 'node:path';
import { DamselflyError } from '../../core/errors.ts';
import { type ClusterAuthority, createClusterAuthority, openClusterAuthority } from '../cluster-authority.ts';
import {
  NOTHING_REVOKED,
  type RevocationList,
  readRevocationList,
  signRevocationList,
  withRevoked,
} from '../revocation-list.ts';
import { readIfThere, writeWhole } from './secret-files.ts';

/**
 * Makes a cluster's authority in a folder: `ca.key`, a secret, and `ca.crt`.
 * @throws CONFIG_INVALID when there is one already: members of the old one would be strangers
 */
export async function initAuthority(
  folder: string,
  options: { readonly cluster: string; readonly nowMs: number },
): Promise<ClusterAuthority> {
  const certificateFile = join(folder, 'ca.crt');
  if ((await readIfThere(certificateFile)) !== undefined) {
    const message = `${certificateFile} exists: this cluster has its authority already`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  const pair = await createClusterAuthority(options);
  // The certificate last: a key alone is what an interrupted start has left.
  await writeWhole(join(folder, 'ca.key'), pair.key, 0o600);
  await writeWhole(certificateFile, pair.certificate, 0o644);
  return openClusterAuthority(pair);
}

/** Undefined when the folder has none. @throws CONFIG_INVALID when it cannot be used */
export async function loadAuthority(folder: string): Promise<ClusterAuthority | undefined> {
  const [certificate, key] = await Promise.all(
    ['ca.crt', 'ca.key'].map((name) => readIfThere(join(folder, name))),
  );
  if (certificate === undefined) return undefined;
  try {
    return openClusterAuthority({ certificate, key: key ?? '' });
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    throw new DamselflyError('CONFIG_INVALID', `${folder}: ${error.message}`);
  }
}

/** @throws CONFIG_INVALID when the folder has none, and says how to make one */
export async function requireAuthority(folder: string): Promise<ClusterAuthority> {
  const authority = await loadAuthority(folder);
  if (authority !== undefined) return authority;
  const message = `${folder}: no authority of a cluster there; make one with \`damselfly ca init --ca-dir ${folder}\``;
  throw new DamselflyError('CONFIG_INVALID', message);
}

/** The one in the folder, made when there is none: for a cluster that begins and ends on this machine. */
export async function ensureAuthority(folder: string, nowMs: number): Promise<ClusterAuthority> {
  return (await loadAuthority(folder)) ?? (await initAuthority(folder, { cluster: DEFAULT_CLUSTER, nowMs }));
}

/** What its authority has revoked so far. @throws CONFIG_INVALID when the file is none that it has signed */
export async function loadRevocations(folder: string, authority: ClusterAuthority): Promise<RevocationList> {
  const path = join(folder, REVOCATIONS);
  const text = await readIfThere(path);
  if (text === undefined) return NOTHING_REVOKED;
  const list = readRevocationList(text.trim(), authority.publicKey);
  if (list !== undefined) return list;
  throw new DamselflyError('CONFIG_INVALID', `${path} was not signed by the authority beside it`);
}

/**
 * Takes back what the authority has given.
 * @param what a member as `ROLE/NAME`, or the serial number of a certificate, hex
 * @throws CONFIG_INVALID when it is neither, or too much is revoked already
 */
export async function revoke(
  folder: string,
  authority: ClusterAuthority,
  what: string,
): Promise<RevocationList> {
  const before = await loadRevocations(folder, authority);
  const list = withRevoked(before, what);
  if (list !== before) {
    await writeWhole(join(folder, REVOCATIONS), `${signRevocationList(list, authority.key)}\n`, 0o644);
  }
  return list;
}

const REVOCATIONS = 'revocations';

/** What a cluster is called unless somebody names it. Two of that name are still two: their keys differ. */
export const DEFAULT_CLUSTER = 'damselfly';
