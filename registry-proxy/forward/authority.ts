import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import { DamselflyError } from '../../lib/core/errors.ts';
import { SingleFlight } from '../../lib/core/single-flight.ts';
import {
  makeLeafCertificate,
  makeRootCertificate,
  type Validity,
} from '../../lib/security/make-certificate.ts';
import { readIfThere, writeWhole } from '../../lib/security/system/secret-files.ts';

/** Our own certificate authority: what a client must trust so that we may answer in a registry's name. */
export interface Authority {
  /** PEM file for the trust stores of clients. */
  readonly certificateFile: string;
  /** What to show as `host`, a name or an address without brackets; certificates are made when first asked for. */
  contextFor(host: string, signal: AbortSignal): Promise<SecureContext>;
}

interface Root {
  readonly certificate: string;
  readonly key: KeyObject;
}

const DAY_MS = 24 * 60 * 60_000;
/** Clients have it in their trust stores: it should outlive the machine. */
const ROOT_DAYS = 3_650;
const LEAF_DAYS = 90;
/** A certificate is made anew when it is this old. */
const LEAF_USED_DAYS = 30;
/** Clocks of virtual machines go wrong in both directions. */
const BACKDATED_DAYS = 1;
/** Hosts whose certificates are kept, a few KiB each; the oldest goes first. */
const MAX_LEAVES = 256;
const CURVE = 'P-256';

/**
 * The authority kept in `folder` as `ca.crt` and `ca.key`, made when there is none.
 * @throws CONFIG_INVALID when the files cannot be read or written, or do not belong together
 */
export async function openAuthority(
  deps: { readonly wallClockMs: () => number },
  folder: string,
): Promise<Authority> {
  const { wallClockMs } = deps;
  const certificateFile = join(folder, 'ca.crt');
  const root = await readRoot(folder).then((found) => found ?? makeRoot(folder, wallClockMs()));
  const leaves = new Map<string, { readonly context: SecureContext; readonly untilMs: number }>();
  const flights = new SingleFlight<SecureContext>();
  // One key for all of them: it never leaves the process.
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: CURVE });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });

  const make = async (host: string): Promise<SecureContext> => {
    const nowMs = wallClockMs();
    const cert = await signLeaf(root, { host, publicKey, nowMs });
    const context = createSecureContext({ key, cert: `${cert}${root.certificate}` });
    if (leaves.size >= MAX_LEAVES) leaves.delete(leaves.keys().next().value ?? '');
    leaves.set(host, { context, untilMs: nowMs + LEAF_USED_DAYS * DAY_MS });
    return context;
  };

  return {
    certificateFile,
    async contextFor(host, signal) {
      const known = leaves.get(host);
      if (known !== undefined && known.untilMs > wallClockMs()) return known.context;
      leaves.delete(host);
      return await flights.run(host, () => make(host), signal);
    },
  };
}

async function readRoot(folder: string): Promise<Root | undefined> {
  const [certificate, key] = await Promise.all([
    readIfThere(join(folder, 'ca.crt')),
    readIfThere(join(folder, 'ca.key')),
  ]);
  // The certificate is written last: a key alone is what an interrupted start has left.
  if (certificate === undefined) return undefined;
  try {
    const root = { certificate, key: createPrivateKey(key ?? '') };
    if (new X509Certificate(certificate).checkPrivateKey(root.key)) return root;
  } catch {
    // Told below, without what was wrong with a secret.
  }
  throw new DamselflyError(
    'CONFIG_INVALID',
    `${folder}: ca.crt and ca.key do not belong together; put back the missing one, or remove both to have new ones made`,
  );
}

async function makeRoot(folder: string, nowMs: number): Promise<Root> {
  const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: CURVE });
  const certificate = await makeRootCertificate({
    ...{ name: 'Damselfly forward proxy of this node', key, publicKey },
    validity: validity(nowMs, ROOT_DAYS),
  });
  const pem = key.export({ type: 'pkcs8', format: 'pem' }) as string;
  try {
    // Open to others, unlike one that is made for a secret: clients read the certificate.
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `cannot make ${folder}: ${(error as Error).message}`);
  }
  await writeWhole(join(folder, 'ca.key'), pem, 0o600);
  await writeWhole(join(folder, 'ca.crt'), certificate, 0o644);
  return { certificate, key };
}

async function signLeaf(
  root: Root,
  {
    host,
    nowMs,
    publicKey,
  }: { readonly host: string; readonly publicKey: KeyObject; readonly nowMs: number },
): Promise<string> {
  return await makeLeafCertificate(root, {
    // A common name has room for 64 characters; the alternative name is what counts.
    name: host.slice(0, 64),
    ...{ publicKey, use: ['server'], names: [{ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }] },
    validity: validity(nowMs, LEAF_DAYS),
  });
}

function validity(nowMs: number, days: number): Validity {
  return { fromMs: nowMs - BACKDATED_DAYS * DAY_MS, untilMs: nowMs + days * DAY_MS };
}
