import fc from 'fast-check';
import t from 'tap';
import {
  decodeAnswer,
  decodeDoor,
  decodeQuestion,
  encodeMember,
  MAX_HINTS,
  MAX_KEYS,
  MAX_MEMBER_BYTES,
  type MemberAnswer,
  type MemberQuestion,
} from '../../lib/wire/member-codec.ts';

const peer = { id: 'ab'.repeat(20), role: 'node' as const, host: '', port: 65_002, zone: 'z' };
const supernode = { host: '10.0.0.1', port: 65_007, member: '12D3KooW' };
const settings = { atMs: 5, paused: ['all'] };
const key = 'c'.repeat(64);
const question: MemberQuestion = { peer, keys: [key], supernodes: [supernode], settings };
const answer: MemberAnswer = { peer, shares: [key], supernodes: [] };

t.test('what is said is what is heard', async (t) => {
  t.same(decodeQuestion(encodeMember(question)), question);
  t.same(decodeAnswer(encodeMember(answer)), answer);
  t.same(decodeDoor(encodeMember({ port: 1, member: 'x' })), { port: 1, member: 'x' });
  const later = JSON.stringify({ ...question, more: 1 });
  t.same(decodeQuestion(later), question, 'what a later version adds is left out');
});

t.test('the largest messages fit, larger ones are refused', async (t) => {
  const keys = Array.from({ length: MAX_KEYS }, () => key);
  const names = Array.from({ length: 256 }, () => 'u'.repeat(200));
  const hint = { host: 'h'.repeat(253), port: 65_535, member: 'm'.repeat(128) };
  const supernodes = Array.from({ length: MAX_HINTS }, () => hint);
  const largest = { ...question, keys, supernodes, settings: { atMs: 1, paused: names } };
  t.ok(encodeMember(largest).length <= MAX_MEMBER_BYTES);
  t.same(decodeQuestion(encodeMember(largest)), largest);
  const wrong = [
    { ...question, keys: [...keys, key] },
    { ...question, supernodes: [...supernodes, hint] },
    { ...question, keys: ['sha256:abc'] },
    { ...question, peer: { ...peer, id: 'x' } },
    { ...question, supernodes: [{ ...supernode, host: 'a/tcp/1' }] },
    { ...question, supernodes: [{ ...supernode, port: 0 }] },
  ];
  for (const each of wrong) t.throws(() => decodeQuestion(JSON.stringify(each)), { code: 'PEER_PROTOCOL' });
  const long = `${encodeMember(question)}${' '.repeat(MAX_MEMBER_BYTES)}`;
  t.throws(() => decodeQuestion(long), { code: 'PEER_PROTOCOL' });
});

t.test('nonsense is refused as nonsense', async () => {
  const decoders = [decodeQuestion, decodeAnswer, decodeDoor];
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), fc.constantFrom(...decoders), (text, decode) => {
      try {
        decode(text);
        return false;
      } catch (error) {
        return (error as { code?: string }).code === 'PEER_PROTOCOL';
      }
    }),
  );
});
