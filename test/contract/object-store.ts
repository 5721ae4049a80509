import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { MIN_PART_BYTES, type ObjectPart, type ObjectStore } from '../../lib/objects/object-store.ts';

/**
 * What every object store must do.
 * @param lacks.abort the server knows no way to give up an upload
 */
export function objectStoreContract(
  t: Test,
  open: (t: Test) => Promise<ObjectStore>,
  lacks: { readonly abort?: boolean } = {},
): void {
  const { signal } = new AbortController();
  const collect = async (part: ObjectPart | undefined): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of part?.bytes ?? []) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  t.test('an object comes back whole, or a part of it', async (t) => {
    const store = await open(t);
    const bytes = randomBytes(300_000);
    await store.put('a/b', bytes, { signal });
    t.ok(bytes.equals((await store.get('a/b', { signal })) ?? Buffer.alloc(0)));
    t.equal((await store.stat('a/b', { signal }))?.size, 300_000);
    const part = await collect(await store.read('a/b', { start: 100_000, end: 200_001 }, { signal }));
    t.ok(part.equals(bytes.subarray(100_000, 200_001)));
    await store.put('a/b', Buffer.from('another'), { signal });
    t.equal(String(Buffer.from((await store.get('a/b', { signal })) ?? [])), 'another');
    await store.put('empty', new Uint8Array(), { signal });
    t.equal((await store.get('empty', { signal }))?.length, 0);
    t.equal((await store.stat('empty', { signal }))?.size, 0);
  });

  t.test('what is not there is not there', async (t) => {
    const store = await open(t);
    t.equal(await store.get('nothing', { signal }), undefined);
    t.equal(await store.stat('nothing', { signal }), undefined);
    t.equal(await store.read('nothing', { start: 0, end: 1 }, { signal }), undefined);
    await store.remove('nothing', { signal });
    await store.put('once', Buffer.from('x'), { signal });
    await store.remove('once', { signal });
    t.equal(await store.get('once', { signal }), undefined);
  });

  t.test('an object has another version once it is another', async (t) => {
    const store = await open(t);
    const version = async (): Promise<string | undefined> => (await store.stat('a', { signal }))?.version;
    await store.put('a', Buffer.from('one'), { signal });
    const first = await version();
    t.equal(await version(), first);
    const part = await store.read('a', { start: 1, end: 2 }, { signal });
    t.equal(part?.version, first);
    await collect(part);
    await store.put('a', Buffer.from('two'), { signal });
    t.not(await version(), first);
  });

  t.test('an object in parts is there when it is completed, and not before', async (t) => {
    const store = await open(t);
    const bytes = randomBytes(2 * MIN_PART_BYTES + 1000);
    const upload = await store.begin('parts', { signal });
    const part = (number: number): Uint8Array =>
      bytes.subarray((number - 1) * MIN_PART_BYTES, number * MIN_PART_BYTES);
    for (const number of [2, 1, 3]) await upload.part(number, part(number), { signal });
    t.equal(await store.get('parts', { signal }), undefined);
    await upload.complete({ signal });
    const back = await collect(await store.read('parts', { start: 0, end: bytes.length }, { signal }));
    t.ok(back.equals(bytes));
  });

  t.test('an upload that is given up leaves nothing', { skip: lacks.abort === true }, async (t) => {
    const store = await open(t);
    const upload = await store.begin('given up', { signal });
    await upload.part(1, randomBytes(1000), { signal });
    await upload.abort({ signal });
    t.equal(await store.get('given up', { signal }), undefined);
    await t.rejects(upload.complete({ signal }));
  });
}
