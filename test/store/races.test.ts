import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { type BlobStoreOptions, openBlobStore } from '../../lib/store/blob-store.ts';
import type { Disk } from '../../lib/store/disk/disk.ts';
import { createMemoryDisk, type MemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import type { KeyValue } from '../../lib/store/key-value/key-value.ts';
import { createMemoryKeyValue, type MemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import type { BlobStore } from '../../lib/store/store.ts';
import { boot as bootMachine, FOLDER, settle } from './machine.ts';
import {
  heldPieces,
  readPiece,
  readWhole,
  sampleBlob,
  storeWhole,
  withProofs,
  writePieces,
} from './sample-blob.ts';

const blob = sampleBlob(1, 4096);
const other = withProofs(blob.info, sampleBlob(2, 4096).bytes, 2);

type Slow = 'read' | 'write' | 'remove' | 'batch';

interface Machine {
  readonly disk: MemoryDisk;
  readonly keyValue: MemoryKeyValue;
  readonly store: BlobStore;
  /** Operations of this kind wait, until the returned function lets them and later ones go. */
  readonly hold: (kind: Slow) => () => void;
}

async function boot(options: BlobStoreOptions = {}): Promise<Machine> {
  const gates = new Map<Slow, PromiseWithResolvers<void>>();
  const pass = async (kind: Slow): Promise<void> => gates.get(kind)?.promise;
  const disk = createMemoryDisk();
  const keyValue = createMemoryKeyValue();
  const slowDisk: Disk = {
    ...disk,
    remove: (path) => pass('remove').then(() => disk.remove(path)),
    async open(path) {
      const file = await disk.open(path);
      return {
        ...file,
        read: (into, offset) => pass('read').then(() => file.read(into, offset)),
        write: (bytes, offset) => pass('write').then(() => file.write(bytes, offset)),
      };
    },
  };
  const slowRecords: KeyValue = {
    ...keyValue,
    batch: (operations, how) => pass('batch').then(() => keyValue.batch(operations, how)),
  };
  const hold = (kind: Slow): (() => void) => {
    const gate = Promise.withResolvers<void>();
    gates.set(kind, gate);
    return () => {
      gates.delete(kind);
      gate.resolve();
    };
  };
  const deps = { disk: slowDisk, keyValue: slowRecords, log: silentLog(), clock: new FakeClock() };
  const store = await openBlobStore({ ...deps, wallClockMs: () => 0, folder: FOLDER }, options);
  return { disk, keyValue, store, hold };
}

await t.test('a piece that is written during a reset comes after it, and is recorded', async (t) => {
  const { disk, keyValue, store, hold } = await boot();
  const open = await store.create(blob.info);
  await writePieces(open, other, [0, 1, 2]);
  const release = hold('batch');
  const reset = open.reset();
  await settle();
  const writing = writePieces(open, blob, [1]);
  await settle();
  t.equal(open.have.count, 0);
  release();
  await Promise.all([reset, writing]);
  t.same(heldPieces(open), [1]);
  await store.close();
  const { store: again } = await bootMachine({ disk, keyValue });
  const found = await again.create(blob.info);
  t.same(heldPieces(found), [1]);
  t.same(found.proof(1), blob.proofs[1]);
  await again.close();
});

await t.test('a piece under way when a reset comes is forgotten with the others', async (t) => {
  const { store, hold } = await boot();
  const open = await store.create(blob.info);
  const release = hold('write');
  const writing = writePieces(open, other, [0]);
  const reset = open.reset();
  await settle();
  release();
  await Promise.all([writing, reset]);
  t.equal(open.have.count, 0);
  await store.close();
});

await t.test('a read that a reset overtakes fails: its bytes may be of two contents', async (t) => {
  const { store, hold } = await boot();
  const open = await store.create(blob.info);
  await writePieces(open, blob, [0, 1]);
  const release = hold('read');
  const reading = t.rejects(readPiece(open, 0), { code: 'STORE_FAILED' });
  await open.reset();
  await writePieces(open, other, [0]);
  release();
  await reading;
  t.same(await readPiece(open, 0), other.piece(0));
  await store.close();
});

await t.test('closing a blob, or the store, waits for its writes', async (t) => {
  for (const closes of ['blob', 'store'] as const) {
    const { disk, store, hold } = await boot();
    const open = await store.create(blob.info);
    const release = hold('write');
    const writing = writePieces(open, blob, [3]);
    const closing = closes === 'blob' ? open.close() : store.close();
    await settle();
    t.equal(disk.openFiles, 1);
    release();
    await Promise.all([writing, closing]);
    t.match(store.list(), [{ bytes: 1024 }]);
    t.equal(disk.openFiles, 0);
    await store.close();
  }
});

await t.test(
  'the same piece written twice at once is written once; both writers learn of a failure',
  async (t) => {
    const { disk, store, hold } = await boot();
    const open = await store.create(blob.info);
    const release = hold('write');
    const both = [writePieces(open, blob, [0]), writePieces(open, other, [0])];
    await settle();
    disk.fail(['write'], 'EIO');
    release();
    for (const each of both) await t.rejects(each, { code: 'STORE_FAILED' });
    disk.heal();
    await Promise.all([writePieces(open, blob, [0]), writePieces(open, other, [0])]);
    t.same(await readPiece(open, 0), blob.piece(0));
    t.same(open.proof(0), blob.proofs[0]);
    await store.close();
  },
);

await t.test(
  'a blob that is created while its old file is being removed gets a file of its own',
  async (t) => {
    const { store, hold } = await boot();
    const old = await store.create(blob.info);
    await writePieces(old, other, [0, 1]);
    await old.close();
    const release = hold('remove');
    const removal = store.remove(blob.info.digest);
    await settle();
    const creations: Promise<Awaited<ReturnType<BlobStore['create']>>>[] = [];
    for (let nth = 0; nth < 3; nth++) {
      creations.push(store.create(blob.info));
      await settle();
    }
    release();
    t.equal(await removal, true);
    const [first, ...others] = await Promise.all(creations);
    if (first === undefined) throw new Error('three were created');
    t.equal(first.have.count, 0);
    for (const each of others) t.equal(each.have, first.have);
    await writePieces(first, blob, [0, 1, 2, 3]);
    await first.commit();
    t.same(await readWhole(first), blob.bytes);
    await store.close();
  },
);

await t.test('blobs created at once do not share the same room', async (t) => {
  const { store } = await boot({ maxBytes: 2 * 4096 });
  for (const seed of [11, 12]) await (await storeWhole(store, sampleBlob(seed, 4096))).close();
  const wanted = [13, 14, 15].map((seed) => sampleBlob(seed, 4096));
  const results = await Promise.allSettled(wanted.map(({ info }) => store.create(info)));
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  t.same(
    store.list().map(({ info }) => info.digest),
    wanted.slice(0, 2).map(({ info }) => info.digest),
  );
  await store.close();
});

await t.test(
  'a blob chosen for eviction that is wanted again meanwhile stays, or comes back empty',
  async (t) => {
    const { store } = await boot({ maxBytes: 2 * 4096 });
    const [second, third] = [sampleBlob(11, 4096), sampleBlob(12, 4096)];
    for (const sample of [blob, second]) await (await storeWhole(store, sample)).close();
    const [, again] = await Promise.all([store.create(third.info), store.create(blob.info)]);
    await writePieces(again, blob, [0, 1, 2, 3]);
    t.same(await readWhole(again), blob.bytes);
    t.equal(store.list().length, 2);
    await store.close();
  },
);
