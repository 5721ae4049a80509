import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import type { PieceProof } from '../../lib/core/proof.ts';
import { HeldPieces } from '../../lib/store/held-pieces.ts';
import {
  blobKey,
  CHUNK_PIECES,
  chunkOfKey,
  decodeBlobRecord,
  encodeBlobRecord,
  keysOf,
  pieceKey,
} from '../../lib/store/record.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const digest = bytes(8).map((seed) => digestOf(seed));
const info = fc
  .record({ digest, pieces: fc.integer({ min: 1, max: 300 }), last: fc.integer({ min: 1, max: 1024 }) })
  .map((each) => blobInfo(each.digest, (each.pieces - 1) * 1024 + each.last, 1024));
const proof = fc.record({
  index: fc.nat(299),
  hash: bytes(32),
  generation: bytes(8).map((raw) => Buffer.from(raw).toString('hex')),
  signature: fc.oneof(bytes(0), bytes(80)),
});
const record = fc
  .record({
    info,
    complete: fc.boolean(),
    synced: fc.boolean(),
    pinned: fc.boolean(),
    usedAtMs: fc.double({ min: 0, noNaN: true }),
    boot: fc.maxSafeNat(),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ share, ...rest }) => ({ ...rest, heldBytes: Math.floor(rest.info.size * share) }));

t.test('a blob record says what was written', async (t) => {
  fc.assert(
    fc.property(record, (written) => {
      const key = blobKey(written.info.digest);
      t.same(decodeBlobRecord(key, encodeBlobRecord(written)), written);
    }),
    { numRuns: 200 },
  );
});

t.test('what is no blob record of this version is none', async (t) => {
  fc.assert(
    fc.property(record, fc.uint8Array({ maxLength: 60 }), fc.nat(40), (written, noise, cut) => {
      const key = blobKey(written.info.digest);
      const right = encodeBlobRecord(written);
      const wrongs = [
        noise,
        right.subarray(0, Math.min(cut, right.length - 1)),
        Buffer.concat([right, noise, right]),
      ];
      for (const wrong of wrongs) {
        if (wrong.length !== right.length) t.equal(decodeBlobRecord(key, wrong), undefined);
      }
      t.equal(decodeBlobRecord('blob/nonsense', right), undefined);
      const other = right.slice();
      other[0] = 1;
      t.equal(decodeBlobRecord(key, other), undefined, 'another version');
      const odd = right.slice();
      odd.fill(0, 2, 6);
      t.equal(decodeBlobRecord(key, odd), undefined, 'pieces of no bytes');
    }),
    { numRuns: 100 },
  );
});

t.test('chunks bring back every piece, its proof and whether it is held, changed ones alone', async (t) => {
  const kind = fc.constantFrom('expect', 'lose', 'mark', 'hold');
  const change = fc.record({ proof, kind });
  fc.assert(
    fc.property(info, fc.array(fc.array(change, { maxLength: 60 }), { maxLength: 4 }), (blob, flushes) => {
      const pieces = new HeldPieces(blob);
      const records = new Map<number, Uint8Array>();
      const expected = new Map<number, { proof: PieceProof; held: boolean }>();
      const coming = new Map<number, PieceProof>();
      for (const changes of flushes) {
        for (const { kind, proof: each } of changes) {
          const { index } = each;
          if (index >= blob.pieces) continue;
          if (kind === 'expect') {
            pieces.expect(each);
            if (!expected.has(index)) coming.set(index, each);
            continue;
          }
          pieces.lose(index);
          expected.delete(index);
          coming.delete(index);
          if (kind === 'lose') continue;
          pieces.mark(each);
          for (const [other, waiting] of coming) expected.set(other, { proof: waiting, held: false });
          coming.clear();
          const held = kind === 'hold';
          if (held) pieces.hold(index);
          expected.set(index, { proof: each, held });
        }
        for (const chunk of pieces.takeDirty()) records.set(chunk, pieces.encode(chunk));
      }
      const found = new HeldPieces(blob);
      for (const [chunk, value] of records) found.load(chunk, value);
      if (found.marked.count !== expected.size) throw new Error('another number of pieces');
      for (const [index, { held, proof: right }] of expected) {
        t.same(found.proof(index), right);
        if (found.have.has(index) !== held) throw new Error(`piece ${index} held: ${!held}`);
      }
      t.equal(found.bytes, pieces.bytes);
      t.equal(found.dirty, false);
    }),
    { numRuns: 100 },
  );
});

t.test(
  'a record that was cut off brings what comes before the cut, and nothing that was not there',
  async (t) => {
    const blob = blobInfo(digestOf(new Uint8Array(1)), CHUNK_PIECES * 1024, 1024);
    fc.assert(
      fc.property(fc.array(proof, { maxLength: 40 }), fc.nat(4000), (proofs, cut) => {
        const pieces = new HeldPieces(blob);
        for (const each of proofs) {
          if (each.index >= blob.pieces) continue;
          pieces.mark(each);
          pieces.hold(each.index);
        }
        const found = new HeldPieces(blob);
        found.load(0, pieces.encode(0).subarray(0, cut));
        for (let index = 0; index < blob.pieces; index++) {
          if (!found.have.has(index)) continue;
          if (!pieces.have.has(index)) throw new Error(`piece ${index} was never held`);
          t.same(found.proof(index), pieces.proof(index));
        }
      }),
      { numRuns: 100 },
    );
  },
);

t.test('keys name digest and chunk, and sort like the chunks', async (t) => {
  const blob = blobInfo(digestOf(new Uint8Array(1)), 300 * CHUNK_PIECES * 1024, 1024);
  const keys = keysOf(blob);
  t.equal(keys.length, 301);
  t.equal(keys[0], `blob/${blob.digest}`);
  t.same([...keys].sort(), keys);
  t.equal(chunkOfKey(pieceKey(blob.digest, 299)), 299);
});
