import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import {
  decodeSmallQuestion,
  encodeHeld,
  encodeSmallQuestion,
  MAX_SMALL_BLOBS,
  MAX_SMALL_QUESTION_BYTES,
  SMALL_BLOB_BYTES,
  splitAnswer,
} from '../../lib/wire/small-blobs-codec.ts';

const digest = digestOf(Buffer.from('config'));
const origin = { upstream: 'registry.test', repository: 'team/app' };

t.test('a question is read as it was written, and what it does not say is not told', async (t) => {
  for (const question of [
    { blobs: [{ digest, size: 1 }] },
    { blobs: [{ digest, size: SMALL_BLOB_BYTES }], origin },
    { blobs: [{ digest, size: 5 }], origin: { ...origin, authorization: 'Bearer x' } },
  ]) {
    t.same(decodeSmallQuestion(encodeSmallQuestion(question)), question);
  }
  const blob = { digest, size: 5, origin, secret: 'kept' };
  t.notMatch(encodeSmallQuestion({ blobs: [blob] }), /secret|registry/);
});

t.test('the largest question fits', async (t) => {
  const blobs = Array.from({ length: MAX_SMALL_BLOBS }, () => ({
    digest: digestOf(Buffer.from('config'), 'sha512'),
    size: 16_384,
  }));
  const name = 'n'.repeat(1024);
  const question = {
    blobs,
    origin: { upstream: name, repository: name, authorization: 'a'.repeat(16 * 1024) },
  };
  const text = encodeSmallQuestion(question);
  t.ok(text.length <= MAX_SMALL_QUESTION_BYTES, `${text.length}`);
  t.same(decodeSmallQuestion(text), question);
});

t.test('what is no question within the limits is none', async (t) => {
  const blob = { digest, size: 5 };
  for (const wrong of [
    {},
    { blobs: [] },
    { blobs: Array.from({ length: MAX_SMALL_BLOBS + 1 }, () => blob) },
    { blobs: Array.from({ length: 5 }, () => ({ digest, size: SMALL_BLOB_BYTES })) },
    { blobs: [{ digest, size: 0 }] },
    { blobs: [{ digest, size: SMALL_BLOB_BYTES + 1 }] },
    { blobs: [{ digest: '../../etc/passwd', size: 5 }] },
    { blobs: [blob], origin: { upstream: 'registry.test' } },
    { blobs: [blob], origin: { ...origin, repository: 'r'.repeat(1025) } },
  ]) {
    t.equal(decodeSmallQuestion(JSON.stringify(wrong)), undefined, JSON.stringify(wrong).slice(0, 80));
  }
  fc.assert(fc.property(fc.string(), (text) => decodeSmallQuestion(text) === undefined));
});

t.test('an answer comes apart as it was put together, or not at all', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.uint8Array({ minLength: 1 }), { nil: undefined })), (answer) => {
      const blobs = answer.map((bytes) => ({ digest, size: bytes?.length ?? 7 }));
      const body = Buffer.concat(answer.filter((bytes) => bytes !== undefined));
      const got = splitAnswer(blobs, encodeHeld(answer), body);
      return (
        got !== undefined &&
        got.every((bytes, index) => Buffer.compare(bytes ?? Buffer.of(), answer[index] ?? Buffer.of()) === 0)
      );
    }),
  );
  const blobs = [
    { digest, size: 2 },
    { digest, size: 3 },
  ];
  const body = Buffer.from('12345');
  t.equal(splitAnswer(blobs, '11', body.subarray(1)), undefined, 'too short');
  t.equal(splitAnswer(blobs, '10', body), undefined, 'too long');
  t.equal(splitAnswer(blobs, '1', body.subarray(0, 2)), undefined, 'too few');
  t.equal(splitAnswer(blobs, '1x', body), undefined, 'neither here nor there');
  t.equal(splitAnswer(blobs, 'undefined', body), undefined, 'not told');
});
