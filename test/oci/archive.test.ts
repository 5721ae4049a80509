import t from 'tap';
import { type FileToPack, packArchive } from '../../lib/oci/archive/pack.ts';
import { unpackArchive } from '../../lib/oci/archive/unpack.ts';

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

const file = (name: string, ...texts: string[]): FileToPack => ({
  name,
  size: texts.join('').length,
  content: texts.map((text) => Buffer.from(text)),
});

await t.test('what was packed is unpacked, in order, whatever the chunks', async (t) => {
  const files = [
    file('oci-layout', '{}'),
    file('blobs/empty'),
    file('blobs/x', 'a'.repeat(700), 'b'.repeat(70_000)),
  ];
  const archive = await collect(packArchive(each(files)));
  t.equal(archive.length % 512, 0);
  for (const chunkBytes of [1, 511, 513, 1_000_000]) {
    const chunks: Buffer[] = [];
    for (let at = 0; at < archive.length; at += chunkBytes) {
      chunks.push(archive.subarray(at, at + chunkBytes));
    }
    const found: [string, number, string][] = [];
    for await (const { content, name, size } of unpackArchive(each(chunks))) {
      found.push([name, size, (await collect(content)).toString()]);
    }
    t.same(
      found,
      files.map(({ content, name, size }) => [
        name,
        size,
        Buffer.concat([...(content as Iterable<Uint8Array>)]).toString(),
      ]),
    );
  }
});

await t.test('the same files make the same archive', async (t) => {
  const make = (): Promise<Buffer> => collect(packArchive(each([file('a', 'one'), file('b', 'two')])));
  t.same(await make(), await make());
});

await t.test('a file that is not as long as it says breaks the archive off', async (t) => {
  for (const size of [2, 4]) {
    const wrong = { name: 'a', size, content: [Buffer.from('one')] };
    await t.rejects(collect(packArchive(each([wrong, file('b', 'two')]))), /mismatch/i, `${size} for 3`);
  }
});

await t.test('the error of a content is the error of the archive', async (t) => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(100_000);
    throw new RangeError('no more');
  }
  await t.rejects(collect(packArchive(each([{ name: 'a', size: 200_000, content: broken() }]))), RangeError);
});

await t.test('a reader that leaves ends the writer, and the content is told', async (t) => {
  let ended = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield Buffer.alloc(64 * 1024);
    } finally {
      ended = true;
    }
  }
  let read = 0;
  for await (const chunk of packArchive(each([{ name: 'a', size: 2 ** 40, content: endless() }]))) {
    read += chunk.length;
    if (read > 1_000_000) break;
  }
  t.ok(ended);
});

await t.test('a writer never runs far ahead of its reader', async (t) => {
  let made = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < 200; n++) {
      made += 64 * 1024;
      yield Buffer.alloc(64 * 1024);
    }
  }
  let read = 0;
  let ahead = 0;
  for await (const chunk of packArchive(each([{ name: 'a', size: 200 * 64 * 1024, content: counted() }]))) {
    read += chunk.length;
    ahead = Math.max(ahead, made - read);
    await new Promise(setImmediate);
  }
  t.ok(ahead < 512 * 1024, `${ahead} bytes`);
});

await t.test('an archive that was cut off, or is none, is refused', async (t) => {
  const archive = await collect(packArchive(each([file('a', 'x'.repeat(5000))])));
  const read = async (bytes: Uint8Array): Promise<void> => {
    for await (const { content } of unpackArchive(each([bytes]))) await collect(content);
  };
  await t.rejects(read(archive.subarray(0, 3000)));
  await t.rejects(read(Buffer.from('not a tar archive at all'.repeat(100))));
});

await t.test('files that are not read are skipped, and leaving early ends the source', async (t) => {
  const archive = await collect(
    packArchive(each([file('a', 'x'.repeat(5000)), file('b', 'y'), file('c', 'z')])),
  );
  const names: string[] = [];
  for await (const { name } of unpackArchive(each([archive]))) {
    names.push(name);
    if (name === 'b') break;
  }
  t.same(names, ['a', 'b']);
});
