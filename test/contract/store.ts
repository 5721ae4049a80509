import type { Test } from 'tap';
import type { BlobStoreOptions } from '../../lib/store/blob-store.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import {
  heldPieces,
  readPiece,
  readWhole,
  type SampleBlob,
  sampleBlob,
  storeWhole,
  withProofs,
  writePieces,
} from '../store/sample-blob.ts';

/** One folder that a test opens, closes and opens again. */
export interface StoreFolder {
  open(options?: BlobStoreOptions): Promise<BlobStore>;
  /** Moves the time of use on, so that no two uses fall together. */
  later(): void;
}

/** What every implementation of the store must do. */
export async function storeContract(t: Test, newFolder: (t: Test) => StoreFolder): Promise<void> {
  const blob = sampleBlob(1, 10 * 1024 + 7);
  const all = [...blob.proofs.keys()];

  await t.test(
    'pieces written in any order can be read across their borders, with their proofs',
    async (t) => {
      const store = await newFolder(t).open();
      const open = await store.create(blob.info);
      await Promise.all([10, 3, 4, 5].map((index) => writePieces(open, blob, [index])));
      t.same(heldPieces(open), [3, 4, 5, 10]);
      const into = new Uint8Array(2000);
      await open.read(3 * 1024 + 500, into);
      t.same(into, blob.bytes.slice(3 * 1024 + 500, 3 * 1024 + 2500));
      t.same(await readPiece(open, 10), blob.piece(10));
      t.same(open.proof(5), blob.proofs[5]);
      t.same(open.proof(10), blob.proofs[10]);
      t.equal(open.proof(0), undefined);
      t.match(store.list(), [{ info: blob.info, bytes: 3 * 1024 + 7, complete: false }]);
      await store.close();
    },
  );

  await t.test('what is not held cannot be read, what is not a piece cannot be written', async (t) => {
    const store = await newFolder(t).open();
    const open = await store.create(blob.info);
    await writePieces(open, blob, [0, 2]);
    const failed = { code: 'STORE_FAILED' };
    await t.rejects(open.read(1000, new Uint8Array(100)), failed, 'reaches into a missing piece');
    await t.rejects(open.read(blob.bytes.length - 1, new Uint8Array(2)), failed, 'beyond the end');
    await t.rejects(open.read(-1, new Uint8Array(1)), failed, 'before the start');
    const [proof] = blob.proofs;
    if (proof === undefined) throw new Error('no proof');
    await t.rejects(open.write({ ...proof, index: 1 }, new Uint8Array(7)), failed, 'too short');
    await t.rejects(open.write({ ...proof, index: 11 }, new Uint8Array(1024)), failed, 'no such piece');
    await t.rejects(open.write({ ...proof, index: 1, generation: 'x' }, blob.piece(1)), failed, 'bad proof');
    await t.rejects(open.commit(), failed, 'not every piece is here');
    t.same(heldPieces(open), [0, 2]);
    await store.close();
  });

  await t.test('a restart finds complete blobs and the pieces of partial ones, with proofs', async (t) => {
    const folder = newFolder(t);
    const whole = sampleBlob(2, 5000, 1024, 'sha512');
    const first = await folder.open();
    await storeWhole(first, whole);
    await writePieces(await first.create(blob.info), blob, [1, 2, 10]);
    await first.close();

    const store = await folder.open();
    const partial = await store.open(blob.info.digest);
    if (partial === undefined) throw new Error('the partial blob is gone');
    t.same(heldPieces(partial), [1, 2, 10]);
    t.same(partial.proof(10), blob.proofs[10]);
    t.same(await readPiece(partial, 2), blob.piece(2));
    const complete = await store.create(whole.info);
    t.equal(complete.complete, true);
    t.same(await readWhole(complete), whole.bytes);
    t.same(complete.proof(3), whole.proofs[3]);

    await writePieces(partial, blob, all);
    await partial.commit();
    t.same(await readWhole(partial), blob.bytes, 'the partial blob can be completed');
    await store.close();
  });

  await t.test('a commit disturbs no reader, is asked for twice without harm, and survives', async (t) => {
    const folder = newFolder(t);
    const store = await folder.open();
    const open = await store.create(blob.info);
    await writePieces(open, blob, all);
    const reader = await store.open(blob.info.digest);
    if (reader === undefined) throw new Error('not shared');
    const reads = all.map((index) => readPiece(reader, index));
    await Promise.all([open.commit(), reader.commit()]);
    t.same(Buffer.concat(await Promise.all(reads)), Buffer.from(blob.bytes));
    t.equal(reader.complete, true);
    await open.close();
    t.same(await readWhole(reader), blob.bytes);
    await reader.close();
    t.match(store.list(), [{ bytes: blob.bytes.length, complete: true }]);
    await store.close();
    const again = await folder.open();
    t.match(again.list(), [{ bytes: blob.bytes.length, complete: true, usedAtMs: 0 }]);
    folder.later();
    await (await again.open(blob.info.digest))?.close();
    await again.close();
    const third = await folder.open();
    t.match(third.list(), [{ usedAtMs: 1 }], 'the use was recorded');
    await third.close();
  });

  await t.test('an empty blob is complete from the start', async (t) => {
    const folder = newFolder(t);
    const empty = sampleBlob(3, 0);
    const first = await folder.open();
    const created = await first.create(empty.info);
    t.equal(created.complete, true);
    await created.commit();
    await created.read(0, new Uint8Array(0));
    await first.close();
    const store = await folder.open();
    t.equal((await store.open(empty.info.digest))?.complete, true);
    await store.close();
  });

  await t.test('concurrent openers share one state, also when they close and open in between', async (t) => {
    const store = await newFolder(t).open();
    const first = await store.create(blob.info);
    const handles = await Promise.all(Array.from({ length: 8 }, () => store.create(blob.info)));
    await Promise.all(all.map((index) => writePieces(handles[index % 8] ?? first, blob, [index, 0, 1])));
    for (const handle of handles) t.equal(handle.have, first.have);
    await first.close();
    await Promise.all(
      handles.map(async (handle) => {
        await handle.close();
        const again = await store.create(blob.info);
        t.same(await readPiece(again, 5), blob.piece(5));
        await again.close();
      }),
    );
    await t.rejects(readPiece(first, 5), { code: 'STORE_FAILED' }, 'a closed one reads nothing');
    await first.close();
    await store.close();
  });

  await t.test(
    'removing waits for the last opener; then nothing is left, not even after a restart',
    async (t) => {
      const folder = newFolder(t);
      const store = await folder.open();
      const one = await storeWhole(store, blob);
      const two = await store.create(blob.info);
      let removed = false;
      const removal = store.remove(blob.info.digest).then((was) => {
        removed = true;
        return was;
      });
      t.equal(await store.open(blob.info.digest), undefined, 'nobody new opens it');
      t.same(store.list(), []);
      await one.close();
      t.same(await readWhole(two), blob.bytes);
      t.equal(removed, false);
      await two.close();
      t.equal(await removal, true);
      t.equal(await store.remove(blob.info.digest), false);
      const fresh = await store.create(blob.info);
      t.equal(fresh.have.count, 0);
      await writePieces(fresh, blob, [4]);
      await store.close();
      const again = await folder.open();
      const reopened = await again.open(blob.info.digest);
      t.same(reopened && heldPieces(reopened), [4]);
      await again.close();
    },
  );

  await t.test('a blob that is wanted again before its removal stays', async (t) => {
    const store = await newFolder(t).open();
    const one = await storeWhole(store, blob);
    const removal = store.remove(blob.info.digest);
    const two = await store.create(blob.info);
    t.equal(await removal, true);
    await one.close();
    await two.close();
    t.match(store.list(), [{ complete: true }]);
    await store.close();
  });

  await t.test('a reset forgets every piece, and other bytes can be written', async (t) => {
    for (const complete of [false, true]) {
      const folder = newFolder(t);
      const first = await folder.open();
      const wrong = withProofs(blob.info, sampleBlob(9, blob.bytes.length).bytes, 9);
      const open = await first.create(blob.info);
      await writePieces(open, wrong, all);
      if (complete) await open.commit();
      await open.reset();
      t.equal(open.have.count, 0);
      t.equal(open.complete, false);
      t.equal(open.proof(0), undefined);
      await t.rejects(open.read(0, new Uint8Array(1)), { code: 'STORE_FAILED' });
      await writePieces(open, blob, [3]);
      await first.close();
      const store = await folder.open();
      const again = await store.create(blob.info);
      t.same(heldPieces(again), [3]);
      t.same(again.proof(3), blob.proofs[3]);
      t.same(await readPiece(again, 3), blob.piece(3));
      await store.close();
    }
  });

  await t.test('a blob that nobody wrote to leaves nothing behind', async (t) => {
    const store = await newFolder(t).open();
    const open = await store.create(blob.info);
    await open.close();
    t.same(store.list(), []);
    t.equal(await store.open(blob.info.digest), undefined);
    await store.close();
  });

  await t.test(
    'a blob takes another piece size when nobody uses it, and keeps a size that has matched',
    async (t) => {
      const store = await newFolder(t).open();
      const other = withProofs({ ...blob.info, pieceBytes: 4096, pieces: 3 }, blob.bytes, 4);
      const open = await store.create(blob.info);
      await writePieces(open, blob, [0]);
      await t.rejects(store.create(other.info), { code: 'STORE_FAILED' }, 'in use');
      await open.close();
      await (await storeWhole(store, other)).close();
      const longer = { ...other.info, size: 9999 };
      await t.rejects(store.create(longer), { code: 'STORE_FAILED' }, 'the digest matched at another size');
      t.match(store.list(), [{ info: { pieceBytes: 4096 }, complete: true }]);
      await store.close();
    },
  );

  await t.test('the quota evicts unused blobs, longest unused first, complete before partial', async (t) => {
    const folder = newFolder(t);
    const store = await folder.open({ maxBytes: 4 * 4096 });
    const samples = [20, 21, 22, 23].map((seed) => sampleBlob(seed, 4096));
    const [partial, a, b, held] = samples as [SampleBlob, SampleBlob, SampleBlob, SampleBlob];
    const open = await store.create(partial.info);
    await writePieces(open, partial, [0]);
    await open.close();
    for (const sample of [a, b]) {
      folder.later();
      await (await storeWhole(store, sample)).close();
    }
    folder.later();
    await storeWhole(store, held);
    await (await store.open(a.info.digest))?.close();
    const digests = (): string[] => store.list().map(({ info }) => info.digest);

    const fresh = [24, 25, 26, 27].map((seed) => sampleBlob(seed, 4096));
    const gone = [b, a, partial];
    for (const [index, sample] of fresh.slice(0, 3).entries()) {
      folder.later();
      await storeWhole(store, sample);
      for (const [at, each] of gone.entries()) t.equal(digests().includes(each.info.digest), at > index);
    }
    const full = { code: 'STORE_FULL' };
    await t.rejects(store.create(fresh[3]?.info ?? blob.info), full, 'every blob is in use');
    await t.rejects(store.create(sampleBlob(28, 5 * 4096).info), full, 'larger than the quota');
    t.equal(store.list().length, 4);
    await store.close();
  });

  await t.test('pins outlast restarts and the quota; only a removal by name ends them', async (t) => {
    const folder = newFolder(t);
    const [pinned, other, third] = [30, 31, 32].map((seed) => sampleBlob(seed, 4096));
    if (pinned === undefined || other === undefined || third === undefined) throw new Error('three samples');
    const first = await folder.open({ maxBytes: 2 * 4096 });
    t.equal(await first.pin(pinned.info.digest), false, 'not here');
    await (await storeWhole(first, pinned)).close();
    t.equal(await first.pin(pinned.info.digest), true);
    await first.close();
    const store = await folder.open({ maxBytes: 2 * 4096 });
    t.match(store.get(pinned.info.digest), { pinned: true, complete: true, bytes: 4096 });
    for (const sample of [other, third]) {
      folder.later();
      await (await storeWhole(store, sample)).close();
    }
    t.match(store.get(pinned.info.digest), { pinned: true });
    t.equal(store.get(other.info.digest), undefined, 'it was unused for longer');
    t.equal(await store.unpin(pinned.info.digest), true);
    t.match(store.get(pinned.info.digest), { pinned: false });
    t.same(await store.verify(pinned.info.digest), { pieces: 4, lost: 0 });
    t.equal(await store.remove(pinned.info.digest), true);
    t.equal(await store.verify(pinned.info.digest), undefined);
    await store.close();
  });

  await t.test('a closed store ends everything, and closing twice is harmless', async (t) => {
    const store = await newFolder(t).open();
    const open = await store.create(blob.info);
    const writing = writePieces(open, blob, [0]);
    await Promise.all([store.close(), store.close()]);
    await writing;
    const failed = { code: 'STORE_FAILED' };
    await t.rejects(open.read(0, new Uint8Array(1)), failed);
    await t.rejects(writePieces(open, blob, [1]), failed);
    await t.rejects(store.create(blob.info), failed);
    await t.rejects(store.open(blob.info.digest), failed);
    await open.close();
  });
}
