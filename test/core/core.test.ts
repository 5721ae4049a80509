import fc from 'fast-check';
import t from 'tap';
import { Bitfield } from '../../lib/core/bitfield.ts';
import { createBlobHasher, digestOf, isDigest, parseDigest } from '../../lib/core/digest.ts';
import { blobInfo, pieceBytesFor, pieceLength, pieceOffset, pieceOfRange } from '../../lib/core/geometry.ts';
import { parseRange } from '../../lib/core/range.ts';
import { rendezvousOwner, rendezvousRank } from '../../lib/core/rendezvous.ts';

const MIB = 1024 * 1024;
const digest = digestOf(new Uint8Array());

t.test('pieces cover a blob exactly, whatever its size', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 * MIB }), (size) => {
      const info = blobInfo(digest, size);
      let end = 0;
      for (let index = 0; index < info.pieces; index++) {
        const start = pieceOffset(info, index);
        if (start !== end) return false;
        end = start + pieceLength(info, index);
        if (pieceOfRange(info, { start, end }) !== index) return false;
      }
      return end === size;
    }),
  );
});

t.test('a range that is not one whole piece is no piece', async (t) => {
  const info = blobInfo(digest, 3 * MIB + 1, MIB);
  for (const [start, end] of [
    [0, MIB - 1],
    [1, MIB],
    [0, 2 * MIB],
    [3 * MIB, 4 * MIB],
    [4 * MIB, 5 * MIB],
    [-MIB, 0],
  ] as const) {
    t.equal(pieceOfRange(info, { start, end }), undefined, `${start}-${end}`);
  }
});

t.test('piece sizes are powers of two that grow with the blob', async (t) => {
  t.same([1, 10 * MIB, 100 * MIB, 1024 * MIB, 100_000 * MIB].map(pieceBytesFor), [
    MIB / 4,
    MIB / 4,
    MIB,
    2 * MIB,
    4 * MIB,
  ]);
});

t.test('a size that no blob has is refused before memory is taken for it', async (t) => {
  for (const size of [-1, 1.5, 2 ** 50, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => blobInfo(digest, size), { code: 'UPSTREAM_BROKEN' }, String(size));
  }
});

t.test('a bitfield behaves as a set of numbers', async () => {
  const change = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 99 }));
  fc.assert(
    fc.property(fc.array(change), (changes) => {
      const field = new Bitfield(100);
      const set = new Set<number>();
      for (const [add, index] of changes) {
        if ((add ? field.set(index) : field.clear(index)) !== (add ? !set.has(index) : set.has(index))) {
          return false;
        }
        if (add) set.add(index);
        else set.delete(index);
      }
      // What shares its memory is the same set.
      const copy = new Bitfield(100, field.words);
      return [field, copy].every(
        (each) =>
          each.count === set.size &&
          [...Array(100).keys()].every((index) => each.has(index) === set.has(index)),
      );
    }),
  );
});

t.test('digests: only sha256 and sha512 in lower-case hex', async (t) => {
  t.ok(isDigest(`sha256:${'a'.repeat(64)}`));
  t.ok(isDigest(`sha512:${'0'.repeat(128)}`));
  for (const text of [
    '',
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha256:${'a'.repeat(63)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:${'a'.repeat(64)}\n`,
  ]) {
    t.throws(() => parseDigest(text), { code: 'DIGEST_INVALID' }, JSON.stringify(text));
  }
  const hasher = createBlobHasher();
  hasher.update(Buffer.from('ab'));
  hasher.update(Buffer.from('c'));
  t.equal(hasher.digest(), digestOf(Buffer.from('abc')));
});

t.test('ranges as RFC 9110 has them', async (t) => {
  const part = (start: number, end: number) => ({ kind: 'part', range: { start, end } });
  t.same(parseRange('bytes=0-0', 10), part(0, 1));
  t.same(parseRange('bytes=2-', 10), part(2, 10));
  t.same(parseRange('bytes=-3', 10), part(7, 10));
  t.same(parseRange('bytes=-30', 10), part(0, 10));
  t.same(parseRange('bytes=5-100', 10), part(5, 10));
  for (const header of ['bytes=10-', 'bytes=-0', 'bytes=11-12']) {
    t.same(parseRange(header, 10), { kind: 'unsatisfiable' }, header);
  }
  for (const header of [
    undefined,
    'bytes=',
    'bytes=-',
    'items=0-1',
    'bytes=3-2',
    'bytes=0-1,3-4',
    'bytes=a-b',
  ]) {
    t.same(parseRange(header, 10), { kind: 'whole' }, String(header));
  }
});

t.test('rendezvous hashing moves only the keys of a member that leaves', async (t) => {
  const members = Array.from({ length: 7 }, (_, index) => ({ id: `member-${index}` }));
  const keys = Array.from({ length: 2000 }, (_, index) => `sha256:${index}`);
  const left = members.filter(({ id }) => id !== 'member-3');
  const share = new Map<string, number>();
  for (const key of keys) {
    const owner = rendezvousOwner(key, members)?.id ?? '';
    share.set(owner, (share.get(owner) ?? 0) + 1);
    if (owner !== 'member-3' && rendezvousOwner(key, left)?.id !== owner) t.fail(`${key} moved without need`);
    if (rendezvousRank(key, members)[0]?.id !== owner) t.fail(`${key} ranks another member first`);
  }
  t.ok(
    [...share.values()].every((count) => count > 200 && count < 400),
    'and all own about as many',
  );
  t.equal(rendezvousOwner('x', []), undefined);
});
