import type { Test } from 'tap';
import { blobInfo } from '../../lib/core/geometry.ts';
import { sameBytes } from '../../lib/core/proof.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { readPiece, readWhole, type SampleBlob, sampleBlob } from '../store/sample-blob.ts';

/** What every store that has a blob whole must do, however it came by it. */
export async function readingContract(
  t: Test,
  storeWith: (t: Test, sample: SampleBlob) => Promise<BlobStore>,
): Promise<void> {
  const size = 700_001;
  const { digest, pieceBytes } = blobInfo(sampleBlob(1, size).info.digest, size);
  const sample = sampleBlob(1, size, pieceBytes);

  await t.test('it is listed, and opened as often as anybody likes', async (t) => {
    const store = await storeWith(t, sample);
    t.match(store.list(), [{ info: sample.info, complete: true }]);
    t.match(store.get(digest), { info: sample.info, complete: true, pinned: false });
    const first = await store.open(digest);
    const second = await store.create(sample.info);
    if (first === undefined) throw new Error('the blob is not here');
    for (const blob of [first, second]) {
      t.same(blob.info, sample.info);
      t.equal(blob.complete, true);
      t.equal(blob.have.complete, true);
      t.ok(sameBytes(await readWhole(blob), sample.bytes));
    }
    await first.close();
    await first.close();
    await t.rejects(readPiece(first, 0), 'closed');
    t.ok(sameBytes(await readPiece(second, 2), sample.piece(2)), 'the other opener goes on');
    await second.close();
    await store.close();
    await store.close();
  });

  await t.test('parts are read across the borders of pieces, and nothing beyond the end', async (t) => {
    const store = await storeWith(t, sample);
    const blob = await store.open(digest);
    if (blob === undefined) throw new Error('the blob is not here');
    const into = new Uint8Array(1000);
    await blob.read(pieceBytes - 500, into);
    t.same(into, sample.bytes.slice(pieceBytes - 500, pieceBytes + 500));
    await t.rejects(blob.read(size - 1, new Uint8Array(2)), { code: 'STORE_FAILED' });
    await t.rejects(blob.read(-1, new Uint8Array(1)), { code: 'STORE_FAILED' });
    await blob.close();
    await store.close();
  });

  await t.test('each piece has a proof that matches it', async (t) => {
    const store = await storeWith(t, sample);
    const blob = await store.open(digest);
    for (const { hash, index } of sample.proofs) {
      t.same(blob?.proof(index)?.hash, hash);
      t.match(blob?.proof(index)?.generation, /^[0-9a-f]{16}$/);
    }
    t.equal(blob?.proof(sample.info.pieces), undefined);
    await blob?.close();
    t.same(await store.verify(digest), { pieces: 3, lost: 0 });
    await store.close();
  });

  await t.test('what is written again, committed again or unknown does no harm', async (t) => {
    const store = await storeWith(t, sample);
    const blob = await store.create(sample.info);
    const [proof] = sample.proofs;
    if (proof === undefined) throw new Error('no proof');
    await blob.write(proof, sample.piece(0));
    await blob.commit();
    t.ok(sameBytes(await readWhole(blob), sample.bytes));
    await blob.close();
    const other = sampleBlob(2, 10).info.digest;
    t.equal(await store.open(other), undefined);
    t.equal(store.get(other), undefined);
    await t.rejects(store.export(other, '/x'), { code: 'BLOB_UNKNOWN' });
    await store.close();
  });
}
