import { DamselflyError } from '../../../lib/core/errors.ts';
import { createClusterAuthority, openClusterAuthority } from '../../../lib/security/cluster-authority.ts';
import { createJoinToken, readJoinToken, verifyJoinToken } from '../../../lib/security/join-token.ts';
import { signText } from '../../../lib/security/signed-text.ts';
import { type FuzzTarget, promise } from '../target.ts';

const NOW_MS = 1_700_000_000_000;
const open = async (cluster: string) =>
  openClusterAuthority(await createClusterAuthority({ cluster, nowMs: NOW_MS }));
const [ours, theirs] = [await open('ours'), await open('theirs')];
const good = createJoinToken(ours, { role: 'node', expiresAtMs: NOW_MS + 60_000 });
const expired = createJoinToken(ours, { role: 'tracker', expiresAtMs: 1 });

export const target: FuzzTarget = {
  about: 'join tokens, shown by whoever would become a member',
  parsers: {
    'lib/security/join-token.ts': ['readJoinToken', 'verifyJoinToken', 'parse', 'refused'],
    'lib/security/signed-text.ts': ['splitSignedText', 'isSignedBy', 'signedBytes'],
  },
  form: 'text',
  corpus: [
    good,
    expired,
    createJoinToken(theirs, { role: 'supernode', expiresAtMs: NOW_MS }),
    `${good.slice(0, -4)}AAAA`,
    signText('dfjoin1', Buffer.alloc(47, 9), ours.key),
    signText('dfjoin1', Buffer.alloc(3), ours.key),
    signText('dfrevoked1', Buffer.alloc(47), ours.key),
    'dfjoin1_.x',
  ],
  words: ['dfjoin1_', '.', '_', '-', '=', 'A', '\n'],
  refuses: ['CONFIG_INVALID', 'IDENTITY_REFUSED'],
  parse: (input) => {
    const text = input.toString();
    try {
      verifyJoinToken(ours, text, NOW_MS);
      promise(text.trim() === good, 'only a token that the authority signed is good');
    } catch (error) {
      if (!(error instanceof DamselflyError)) throw error;
    }
    readJoinToken(text);
  },
};
