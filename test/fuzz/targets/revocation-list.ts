import { createClusterAuthority, openClusterAuthority } from '../../../lib/security/cluster-authority.ts';
import {
  readRevocationList,
  signRevocationList,
  withRevoked,
} from '../../../lib/security/revocation-list.ts';
import { signText } from '../../../lib/security/signed-text.ts';
import { type FuzzTarget, promise } from '../target.ts';

const authority = openClusterAuthority(await createClusterAuthority({ cluster: 'ours', nowMs: Date.now() }));
const signed = new Set([
  signRevocationList({ number: 7, serials: ['0a1b'], members: ['node/abc'] }, authority.key),
  signText('dfrevoked1', Buffer.from('{"number":-1}'), authority.key),
  signText('dfrevoked1', Buffer.from('not JSON'), authority.key),
  signText('dfjoin1', Buffer.from('{"number":1,"serials":[],"members":[]}'), authority.key),
]);

export const target: FuzzTarget = {
  about: 'lists of what was revoked, and what an operator would add to one',
  parsers: { 'lib/security/revocation-list.ts': ['readRevocationList', 'withRevoked'] },
  form: 'text',
  corpus: [...signed, 'node/abc', '0A1B', 'king/x'],
  words: ['dfrevoked1_', '.', 'node/', 'tracker/', '..', 'ff', 'A'],
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    const text = input.toString();
    const list = readRevocationList(text, authority.publicKey);
    promise(list === undefined || signed.has(text), 'only a list that the authority signed is taken');
    const more = withRevoked({ number: 1, serials: ['ff'], members: [] }, text);
    promise(more.number <= 2, 'a list grows by one');
  },
};
