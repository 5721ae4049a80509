import { X509Certificate } from 'node:crypto';
import { openSigningKey, readCard } from '../../../lib/security/signer-card.ts';
import { testAuthority, testMember } from '../../security/cluster.ts';
import { type FuzzTarget, promise } from '../target.ts';

const PREFIX = 'dfcard1_';
const [ours, theirs] = [await testAuthority(), await testAuthority()];
const members = [await testMember(ours, 'node'), await testMember(ours, 'tracker')];
const cards = [...members, await testMember(theirs, 'supernode')].map(({ tls }) => openSigningKey(tls).card);
const known = new Set(members.map(({ identity }) => identity.name));
const authorities = [new X509Certificate(ours.certificate)];
const jsonOf = (card: string): string => Buffer.from(card.slice(PREFIX.length), 'base64url').toString();
const [ed25519 = '', other = ''] = cards.map(jsonOf);
const bound = JSON.parse(other) as { readonly chain: string[] };
const unbound = JSON.parse(ed25519) as { readonly chain: string[] };

export const target: FuzzTarget = {
  about: 'cards that name whose signature is whose, as members pass them on; here the JSON inside them',
  parsers: { 'lib/security/signer-card.ts': ['readCard', 'leadsTo', 'isIssuedBy', 'keyNamed', 'signerIdOf'] },
  form: 'json',
  corpus: [
    ...cards.map(jsonOf),
    JSON.stringify({ ...bound, key: 'AAAA' }),
    JSON.stringify({ ...bound, binding: 'AAAA' }),
    JSON.stringify({ ...unbound, key: 'A'.repeat(43), binding: 'AAAA' }),
    JSON.stringify({ chain: [...unbound.chain, ...bound.chain] }),
    JSON.stringify({ chain: [authorities[0]?.raw.toString('base64')] }),
    JSON.stringify({ chain: ['AAAA'] }),
    '{}',
    '{',
  ],
  maxBytes: 16 * 1024,
  parse: (input) => {
    const cluster = ours.cluster;
    readCard(input.toString(), { authorities, cluster });
    const signer = readCard(`${PREFIX}${input.toString('base64url')}`, { authorities, cluster });
    promise(signer === undefined || known.has(signer.identity.name), 'the authority vouches for the signer');
  },
};
