import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Pack, pack } from 'tar-stream';

/** One thing in a layer, by its path without the first slash; folders come before what is in them. */
export interface LayerEntry {
  readonly name: string;
  /** Permission bits. */
  readonly mode: number;
  /** User and group. */
  readonly owner: number;
  /** A folder, the text of a file, or the file of this machine whose bytes it has. */
  readonly content: 'folder' | { readonly text: string } | { readonly file: string };
}

/** A layer as a manifest and an image configuration speak of it. */
export interface Layer {
  /** Of the compressed bytes. */
  readonly digest: string;
  readonly size: number;
  /** Of the bytes before compression. */
  readonly diffId: string;
}

const ROOT_USER = 0;

export const folder = (name: string, owner = ROOT_USER, mode = 0o755): LayerEntry => ({
  ...{ name, mode, owner, content: 'folder' },
});
export const textFile = (name: string, text: string, mode = 0o644): LayerEntry => ({
  ...{ name, mode, owner: ROOT_USER, content: { text } },
});
export const fileOf = (name: string, file: string, mode = 0o644): LayerEntry => ({
  ...{ name, mode, owner: ROOT_USER, content: { file } },
});

/** A folder of this machine with everything in it, all of root; what may be executed stays so. */
export async function treeOf(name: string, from: string): Promise<LayerEntry[]> {
  const entries = [folder(name)];
  for (const each of (await readdir(from)).sort()) {
    const [inside, path] = [`${name}/${each}`, join(from, each)];
    const found = await stat(path);
    if (found.isDirectory()) entries.push(...(await treeOf(inside, path)));
    else entries.push(fileOf(inside, path, (found.mode & 0o100) === 0 ? 0o644 : 0o755));
  }
  return entries;
}

/** Writes a compressed layer: the same bytes for the same entries, whenever and by whomever it is made. */
export async function writeLayer(entries: readonly LayerEntry[], file: string): Promise<Layer> {
  const archive = pack();
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  const count = (hash: typeof plain): Transform =>
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(undefined, chunk);
      },
    });
  const written = pipeline(
    Readable.from(archive),
    count(plain),
    createGzip(),
    count(packed),
    createWriteStream(file),
  );
  await Promise.all([fill(archive, entries), written]);
  const { size } = await stat(file);
  return { digest: `sha256:${packed.digest('hex')}`, size, diffId: `sha256:${plain.digest('hex')}` };
}

async function fill(archive: Pack, entries: readonly LayerEntry[]): Promise<void> {
  for (const { name, mode, owner, content } of entries) {
    const header = { name, mode, uid: owner, gid: owner, mtime: new Date(0) };
    if (content === 'folder') {
      archive.entry({ ...header, type: 'directory' });
    } else if ('text' in content) {
      archive.entry(header, content.text);
    } else {
      const { size } = await stat(content.file);
      const entry = archive.entry({ ...header, size });
      const written = once(entry, 'finish');
      for await (const chunk of createReadStream(content.file)) {
        if (!entry.write(chunk)) await once(entry, 'drain');
      }
      entry.end(null);
      await written;
    }
  }
  archive.finalize();
}
