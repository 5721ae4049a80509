import { type Digest, isDigest } from '../../../lib/core/digest.ts';
import { silentLog } from '../../../lib/observe/log.ts';
import { FakeClock } from '../../../lib/runtime/fake-clock.ts';
import {
  createAnnouncePasskey,
  isPasskeyInForce,
  keysOfAuthorities,
  readAnnouncePasskey,
} from '../../../lib/security/announce-passkey.ts';
import {
  checkCapability,
  digestListHash,
  holderOf,
  issueCapability,
} from '../../../lib/security/capability.ts';
import { Credentials } from '../../../lib/security/credentials.ts';
import { readWarrant, warrantPapers } from '../../../lib/security/read-warrant.ts';
import { readRotation, signRotation } from '../../../lib/security/rotation.ts';
import { Signatures } from '../../../lib/security/signatures.ts';
import { signText } from '../../../lib/security/signed-text.ts';
import { testAuthority, testMember } from '../../security/cluster.ts';
import { type FuzzTarget, promise } from '../target.ts';

const NOW_MS = Date.now();
const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const holder = 'cd'.repeat(32);
const [ours, next, theirs] = [await testAuthority(), await testAuthority(), await testAuthority('theirs')];

async function signaturesOf(role: 'supernode' | 'tracker' | 'node', authority = ours): Promise<Signatures> {
  const { tls } = await testMember(authority, role);
  const deps = { clock: new FakeClock(), log: silentLog(), wallClockMs: () => NOW_MS };
  return new Signatures(new Credentials(deps, tls, async () => undefined));
}

const [node, supernode, tracker] = [
  await signaturesOf('node'),
  await signaturesOf('supernode'),
  await signaturesOf('tracker'),
];
for (const { card } of [supernode, tracker]) node.learn(card);
const warrant = { digest, node: 'a1'.repeat(20), atMs: NOW_MS };
const right = { list: digestListHash([digest]), holder, sinceMs: NOW_MS, untilMs: NOW_MS + 60_000 };
const good = issueCapability(supernode, right);
const passkey = createAnnouncePasskey(ours, NOW_MS + 60_000);
const change = { old: ours.certificate, next: next.certificate, issueAtMs: NOW_MS, dropAtMs: NOW_MS + 1000 };
/** Signed by who may sign such papers, with what no such paper says. */
const signed = (prefix: string, kind: string, by: Signatures, payload: string): string => {
  const bytes = Buffer.from(payload);
  const signature = Buffer.from(by.sign(Buffer.concat([Buffer.from(`damselfly ${kind} 1\n`), bytes])));
  return `${prefix}_${bytes.toString('base64url')}.${signature.toString('base64url')}`;
};

export const target: FuzzTarget = {
  about: 'capabilities, warrants, passkeys and rotations, shown by whoever has them',
  parsers: {
    'lib/security/capability.ts': ['checkCapability', 'holderOf', 'read'],
    'lib/security/read-warrant.ts': ['readWarrant'],
    'lib/security/announce-passkey.ts': ['readAnnouncePasskey', 'isPasskeyInForce', 'parse', 'fieldsOf'],
    'lib/security/rotation.ts': ['readRotation'],
  },
  form: 'text',
  corpus: [
    good,
    issueCapability(supernode, { ...right, untilMs: 1 }),
    issueCapability(supernode, { ...right, holder: 'ef'.repeat(32) }),
    issueCapability(supernode, { ...right, list: 'ef'.repeat(32) }),
    issueCapability(tracker, right),
    signed('dfcap1', 'capability', supernode, 'not JSON'),
    signed('dfcap1', 'capability', supernode, '{"list":7}'),
    ...warrantPapers(tracker, warrant).slice(1),
    ...warrantPapers(supernode, warrant).slice(1),
    signed('dfwarrant1', 'warrant', tracker, 'not JSON'),
    passkey,
    createAnnouncePasskey(theirs, NOW_MS),
    createAnnouncePasskey(ours, 1),
    signRotation(change, ours.key),
    signRotation({ ...change, next: theirs.certificate }, ours.key),
    signText('dfrotation1', Buffer.from('not JSON'), ours.key),
    'x',
  ],
  words: ['dfcap1_', 'dfwarrant1_', 'dfannounce1_', 'dfrotation1_', '.', '_', '-', 'A', '\n'],
  maxBytes: 32 * 1024,
  refuses: ['CONFIG_INVALID'],
  parse: (input) => {
    const text = input.toString();
    const checked = checkCapability(node, { text, holder, digests: [digest] }, NOW_MS);
    promise(
      typeof checked === 'string' || saysTheSame(text, good),
      'only a capability that a supernode signed for us counts',
    );
    holderOf(text);
    const found = readWarrant(node, text)?.warrant;
    promise(
      found === undefined || (isDigest(found.digest) && found.node === warrant.node),
      'a tracker has said so',
    );
    const authorities = keysOfAuthorities(ours.certificate);
    const opens = isPasskeyInForce(text, { authorities, clusterTimeMs: NOW_MS, revoked: [] });
    promise(!opens || saysTheSame(text, passkey), 'only a passkey that the authority signed opens');
    const rotation = readRotation(text, [ours.certificate]);
    promise(rotation === undefined || rotation.next === next.certificate, 'the authority has named its heir');
    readAnnouncePasskey(text);
  },
};

/** base64url has several spellings of the same last byte. */
function saysTheSame(text: string, other: string): boolean {
  const bytes = (paper: string): string =>
    paper
      .replace(/^[a-z0-9]+_/, '')
      .split('.')
      .map((part) => Buffer.from(part, 'base64url').toString('hex'))
      .join();
  return bytes(text) === bytes(other);
}
