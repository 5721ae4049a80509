import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import {
  type ClusterAuthority,
  createClusterAuthority,
  openClusterAuthority,
} from '../../lib/security/cluster-authority.ts';
import { createMemberKey, memberNameOf } from '../../lib/security/enrolment.ts';
import type { MemberRole } from '../../lib/security/identity.ts';

/** An authority of a cluster, as of now or of another time. */
export async function testAuthority(cluster = 'damselfly', nowMs = Date.now()): Promise<ClusterAuthority> {
  return openClusterAuthority(await createClusterAuthority({ cluster, nowMs }));
}

/** A member of it, with a new key unless one is given. */
export async function testMember(
  authority: ClusterAuthority,
  role: MemberRole,
  {
    key = createMemberKey(role),
    nowMs = Date.now(),
    zone = '',
  }: { readonly key?: KeyObject; readonly nowMs?: number; readonly zone?: string } = {},
) {
  const publicKey = createPublicKey(key);
  const identity = { cluster: authority.cluster, role, name: memberNameOf(publicKey), zone };
  const cert = await authority.issue({ identity, publicKey, nowMs });
  return {
    identity,
    certificate: new X509Certificate(cert),
    tls: { key: key.export({ type: 'pkcs8', format: 'pem' }) as string, cert, ca: authority.certificate },
  };
}
