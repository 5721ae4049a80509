import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { type Pack, pack } from 'tar-stream';

/** A file of an archive that is being written: exactly `size` bytes. */
export interface FileToPack {
  readonly name: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** The same archive for the same files, whenever and by whomever it is made. */
const FIXED = { type: 'file', mode: 0o644, mtime: new Date(0), uid: 0, gid: 0 } as const;

const BLOCK_BYTES = 512;
/** Two empty blocks, as {@link packArchive} ends. */
export const ARCHIVE_END = new Uint8Array(2 * BLOCK_BYTES);

/** What comes before a file's content in the archive that {@link packArchive} makes, byte for byte. */
export async function archiveHeader({ name, size }: Omit<FileToPack, 'content'>): Promise<Uint8Array> {
  // One block, or several for a name that does not fit into one: as many as for an empty file.
  const empty = pack();
  empty.entry({ ...FIXED, name, size: 0 }).end(null);
  empty.finalize();
  const bytes = (await buffer(empty)).length - ARCHIVE_END.length;
  const archive = pack();
  archive.entry({ ...FIXED, name, size }).on('error', () => {});
  const blocks: Uint8Array[] = [];
  let held = 0;
  for await (const block of archive as AsyncIterable<Uint8Array>) {
    blocks.push(block);
    held += block.length;
    // Leaving ends the archive, of which no more is wanted.
    if (held === bytes) break;
  }
  return Buffer.concat(blocks);
}

/** What comes behind it: zeros up to the next block. */
export function archivePadding(size: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/**
 * A tar archive of the files, in their order. At any time one chunk is on its way, whatever the files' sizes.
 * @throws whatever `files` or a content throws; Error when a content has another size than its file says
 */
export async function* packArchive(files: AsyncIterable<FileToPack>): AsyncGenerator<Uint8Array> {
  const archive = pack();
  const filling = fill(archive, files).catch((error: unknown) => void archive.destroy(error as Error));
  try {
    yield* archive as AsyncIterable<Uint8Array>;
  } finally {
    // A reader that leaves early ends the writer too.
    archive.destroy();
    await filling;
  }
}

async function fill(archive: Pack, files: AsyncIterable<FileToPack>): Promise<void> {
  for await (const { content, name, size } of files) {
    const entry = archive.entry({ ...FIXED, name, size });
    const failed = once(entry, 'error').then(([error]) => Promise.reject(error as Error));
    const gone = once(entry, 'close').then(() => Promise.reject(new Error('the archive was given up')));
    for (const each of [failed, gone]) each.catch(() => {});
    for await (const chunk of content) {
      if (entry.destroyed) break;
      if (!entry.write(chunk)) await Promise.race([once(entry, 'drain'), failed, gone]);
    }
    const done = once(entry, 'finish');
    done.catch(() => {});
    entry.end(null);
    await Promise.race([done, failed, gone]);
  }
  archive.finalize();
}
