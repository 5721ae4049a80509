import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DamselflyError } from '../../core/errors.ts';
import {
  type ClusterAuthority,
  createClusterAuthority,
  type KeyPair,
  openClusterAuthority,
} from '../cluster-authority.ts';
import { type AuthorityState, MovingAuthority, type NextAuthority } from '../moving-authority.ts';
import {
  NOTHING_REVOKED,
  type RevocationList,
  readRevocationList,
  signRevocationList,
  withRevoked,
} from '../revocation-list.ts';
import { phaseOf, type Rotation, readRotation, signRotation } from '../rotation.ts';
import { readIfThere, writeWhole } from './secret-files.ts';

/** Files of an authority; those of the one that takes its place count as soon as `rotation` is there. */
const FILES = {
  current: { certificate: 'ca.crt', key: 'ca.key' },
  next: { certificate: 'next.crt', key: 'next.key' },
  rotation: 'rotation',
  revocations: 'revocations',
} as const;

/**
 * Makes a cluster's authority in a folder: `ca.key`, a secret, and `ca.crt`.
 * @throws CONFIG_INVALID when there is one already: members of the old one would be strangers
 */
export async function initAuthority(
  folder: string,
  options: { readonly cluster: string; readonly nowMs: number },
): Promise<ClusterAuthority> {
  const certificateFile = join(folder, FILES.current.certificate);
  if ((await readIfThere(certificateFile)) !== undefined) {
    const message = `${certificateFile} exists: this cluster has its authority already`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  const pair = await createClusterAuthority(options);
  await writePair(folder, FILES.current, pair);
  return openClusterAuthority(pair);
}

/**
 * The authority in the folder, and what takes its place by and by.
 * @returns undefined when the folder has none
 * @throws CONFIG_INVALID when it cannot be used
 */
export async function readAuthority(folder: string): Promise<AuthorityState | undefined> {
  const text = (await readIfThere(join(folder, FILES.rotation)))?.trim();
  const current = await readPair(folder, FILES.current);
  if (current === undefined) return undefined;
  if (text === undefined) return { current: open(folder, current) };
  const next = await readPair(folder, FILES.next);
  // The new one was being put in the place of the old.
  if (next?.key === current.key) return { current: open(folder, next) };
  const rotation = readRotation(text, [current.certificate]);
  if (next !== undefined && rotation?.next === next.certificate) {
    return { current: open(folder, current), next: { authority: open(folder, next), rotation, text } };
  }
  const message = `${folder}: ${FILES.rotation} is not about the authorities beside it; put back the files of \`damselfly ca rotate\``;
  throw new DamselflyError('CONFIG_INVALID', message);
}

/** {@link readAuthority}, for as long as a process runs. @param nowMs cluster time */
export async function loadAuthority(
  folder: string,
  nowMs: () => number,
): Promise<MovingAuthority | undefined> {
  const state = await readAuthority(folder);
  return state && new MovingAuthority(state, nowMs);
}

/** @throws CONFIG_INVALID when the folder has none, and says how to make one */
export async function requireAuthority(folder: string, nowMs: () => number): Promise<MovingAuthority> {
  const authority = await loadAuthority(folder, nowMs);
  if (authority !== undefined) return authority;
  const message = `${folder}: no authority of a cluster there; make one with \`damselfly ca init --ca-dir ${folder}\``;
  throw new DamselflyError('CONFIG_INVALID', message);
}

/** The one in the folder, made when there is none: for a cluster that begins and ends on this machine. */
export async function ensureAuthority(folder: string, nowMs: () => number): Promise<MovingAuthority> {
  const found = await loadAuthority(folder, nowMs);
  if (found !== undefined) return found;
  const current = await initAuthority(folder, { cluster: DEFAULT_CLUSTER, nowMs: nowMs() });
  return new MovingAuthority({ current }, nowMs);
}

/**
 * Begins to replace the authority in the folder by a new one.
 * @param overlapMs how long both are believed before the new one issues, and the same again until the old one is dropped
 * @throws CONFIG_INVALID when there is none, or the last rotation is not over
 */
export async function rotateAuthority(
  folder: string,
  { nowMs, overlapMs }: { readonly nowMs: number; readonly overlapMs: number },
): Promise<NextAuthority> {
  const before = await requireAuthority(folder, () => nowMs);
  const revocations = await readRevocations(folder, before);
  const state = await readAuthority(folder);
  if (state?.next !== undefined) await endRotation(folder, state.next, nowMs);
  const current = state?.next?.authority ?? (state as AuthorityState).current;
  const pair = await createClusterAuthority({ cluster: current.cluster, nowMs });
  await writePair(folder, FILES.next, pair);
  const issueAtMs = Math.floor(nowMs + overlapMs);
  const rotation: Rotation = {
    ...{ old: current.certificate, next: pair.certificate, issueAtMs },
    dropAtMs: Math.floor(issueAtMs + overlapMs),
  };
  const text = signRotation(rotation, current.key);
  // Last: from here on the new one counts.
  await writeWhole(join(folder, FILES.rotation), `${text}\n`, 0o644);
  const authority = openClusterAuthority(pair);
  if (revocations !== undefined) await writeRevocations(folder, revocations.list, authority);
  return { authority, rotation, text };
}

/** Puts the new one in the place of the old, each step leaving files that can be read. */
async function endRotation(
  folder: string,
  { authority, rotation }: NextAuthority,
  nowMs: number,
): Promise<void> {
  if (phaseOf(rotation, nowMs) !== 'done') {
    const until = new Date(rotation.dropAtMs).toISOString();
    const message = `${folder}: its authority is being replaced already, until ${until}`;
    throw new DamselflyError('CONFIG_INVALID', message);
  }
  const key = authority.key.export({ type: 'pkcs8', format: 'pem' }) as string;
  await writePair(folder, FILES.current, { certificate: authority.certificate, key });
  await rm(join(folder, FILES.rotation));
}

/**
 * What the authority has revoked so far, and the text that it has signed.
 * @returns undefined when that is nothing
 * @throws CONFIG_INVALID when the file is none that it has signed
 */
export async function readRevocations(
  folder: string,
  authority: ClusterAuthority,
): Promise<{ readonly list: RevocationList; readonly text: string } | undefined> {
  const path = join(folder, FILES.revocations);
  const text = (await readIfThere(path))?.trim();
  if (text === undefined) return undefined;
  const state = await readAuthority(folder);
  for (const { publicKey } of [...authority.trusted, ...(state === undefined ? [] : [state.current])]) {
    const list = readRevocationList(text, publicKey);
    if (list !== undefined) return { list, text };
  }
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
  const before = (await readRevocations(folder, authority))?.list ?? NOTHING_REVOKED;
  const list = withRevoked(before, what);
  const signer = authority instanceof MovingAuthority ? authority.newest : authority;
  if (list !== before) await writeRevocations(folder, list, signer);
  return list;
}

async function writeRevocations(
  folder: string,
  list: RevocationList,
  signer: ClusterAuthority,
): Promise<void> {
  const text = signRevocationList(list, signer.key);
  await writeWhole(join(folder, FILES.revocations), `${text}\n`, 0o644);
}

type Names = (typeof FILES)['current' | 'next'];

async function readPair(folder: string, names: Names): Promise<KeyPair | undefined> {
  const [certificate, key] = await Promise.all(
    [names.certificate, names.key].map((name) => readIfThere(join(folder, name))),
  );
  return certificate === undefined ? undefined : { certificate, key: key ?? '' };
}

/** The certificate last: a key alone is what an interrupted start has left. */
async function writePair(folder: string, names: Names, { certificate, key }: KeyPair): Promise<void> {
  await writeWhole(join(folder, names.key), key, 0o600);
  await writeWhole(join(folder, names.certificate), certificate, 0o644);
}

function open(folder: string, pair: KeyPair): ClusterAuthority {
  try {
    return openClusterAuthority(pair);
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    throw new DamselflyError('CONFIG_INVALID', `${folder}: ${error.message}`);
  }
}

/** What a cluster is called unless somebody names it. Two of that name are still two: their keys differ. */
export const DEFAULT_CLUSTER = 'damselfly';
