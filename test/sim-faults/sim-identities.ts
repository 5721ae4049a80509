import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { steadyCredentials } from '../../bench/fixtures/certificates.ts';
import { type ClusterAuthority, fingerprintOf } from '../../lib/security/cluster-authority.ts';
import type { Credentials } from '../../lib/security/credentials.ts';
import type { MemberRole } from '../../lib/security/identity.ts';
import { testAuthority, testMember } from '../security/cluster.ts';

/** DER of an Ed25519 private key before the 32 bytes of the key itself (RFC 8410 section 7). */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Who a machine is, in a cluster whose members prove that. */
export interface SimIdentity {
  readonly credentials: Credentials;
  /** Id among peers. */
  readonly id: string;
  /** SHA-256 of its certificate, hex. */
  readonly fingerprint: string;
}

/** Machine -> who it is. Its key follows from its name, so that its id is the same in every run. */
export type SimIdentities = ReadonlyMap<string, SimIdentity>;

/** One authority and one certificate a machine are enough for all runs of a process. */
let authority: Promise<ClusterAuthority> | undefined;
const known = new Map<string, Promise<SimIdentity>>();

export async function simIdentities(roles: ReadonlyMap<string, MemberRole>): Promise<SimIdentities> {
  authority ??= testAuthority();
  const identities = new Map<string, SimIdentity>();
  for (const [name, role] of roles) {
    const identity = known.get(name) ?? identify(name, role, await authority);
    known.set(name, identity);
    identities.set(name, await identity);
  }
  return identities;
}

async function identify(name: string, role: MemberRole, by: ClusterAuthority): Promise<SimIdentity> {
  const { certificate, tls } = await testMember(by, role, { key: keyOf(name) });
  const credentials = steadyCredentials(tls);
  const fingerprint = fingerprintOf(certificate).toString('hex');
  return { credentials, id: credentials.id, fingerprint };
}

function keyOf(name: string): KeyObject {
  const key = createHash('sha256').update(name).digest();
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, key]), format: 'der', type: 'pkcs8' });
}
