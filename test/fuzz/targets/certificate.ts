import { createPublicKey, X509Certificate } from 'node:crypto';
import { createClusterAuthority, openClusterAuthority } from '../../../lib/security/cluster-authority.ts';
import { createMemberKey } from '../../../lib/security/enrolment.ts';
import { checkMember } from '../../../lib/security/member.ts';
import { NOTHING_REVOKED } from '../../../lib/security/revocation-list.ts';
import { type FuzzTarget, promise } from '../target.ts';

const NOW_MS = 1_700_000_000_000;
const pair = await createClusterAuthority({ cluster: 'ours', nowMs: NOW_MS });
const authority = openClusterAuthority(pair);
const issue = async (
  cluster: string,
  role: 'node' | 'tracker',
  hostNames: readonly string[],
): Promise<Buffer> => {
  const identity = { cluster, role, name: 'a1'.repeat(20), zone: 'z' };
  const publicKey = createPublicKey(createMemberKey(role));
  return new X509Certificate(await authority.issue({ identity, publicKey, hostNames, nowMs: NOW_MS })).raw;
};
const member = await issue('ours', 'node', ['a.corp']);
const wanted = { cluster: 'ours', roles: ['node'], nowMs: NOW_MS } as const;

export const target: FuzzTarget = {
  about: 'certificates of members, and of authorities in files: who they are for',
  parsers: {
    'lib/security/member.ts': ['checkMember', 'identityOf'],
    'lib/security/cluster-authority.ts': ['openClusterAuthority', 'clusterOf', 'readPair', 'unusable'],
  },
  form: 'bytes',
  corpus: [
    member,
    await issue('theirs', 'node', []),
    await issue('ours', 'tracker', []),
    new X509Certificate(pair.certificate).raw,
    Buffer.from(pair.certificate),
  ],
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    let certificate: X509Certificate | undefined;
    try {
      certificate = new X509Certificate(input);
    } catch {
      // No certificate at all: TLS ends there.
    }
    checkMember(certificate, { ...wanted, revoked: NOTHING_REVOKED });
    checkMember(certificate, { ...wanted, revoked: NOTHING_REVOKED, nowMs: Number.MAX_SAFE_INTEGER });
    const serials = certificate === undefined ? [] : [certificate.serialNumber.toLowerCase()];
    const checked = checkMember(certificate, { ...wanted, revoked: { number: 1, serials, members: [] } });
    promise(checked.kind === 'refused', 'what is revoked is refused');
    const opened = openClusterAuthority({ certificate: input.toString('latin1'), key: pair.key });
    promise(opened.cluster === 'ours', 'an authority is that of its key');
  },
};
