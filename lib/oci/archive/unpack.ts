import { once } from 'node:events';
import { type Extract, extract } from 'tar-stream';

/** A plain file of an archive that is being read. */
export interface UnpackedFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Its bytes, as they come; what is not read is skipped. Ends when the next file is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

/**
 * The plain files of a tar archive, in their order; folders and links are left out.
 * @throws whatever `bytes` throws; Error when it is not a tar archive, or not a whole one
 */
export async function* unpackArchive(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<UnpackedFile> {
  const archive = extract();
  archive.on('entry', ({ name, size }) => {
    if (Number.isSafeInteger(size)) return;
    // The library would look for the end of such a file for ever, without a pause.
    archive.destroy(new Error(`the archive does not say how long ${JSON.stringify(name)} is`));
  });
  const feeding = feed(archive, bytes).catch((error: unknown) => void archive.destroy(error as Error));
  try {
    for await (const entry of archive) {
      const { name, size = 0, type } = entry.header;
      const content = entry as AsyncIterable<Uint8Array>;
      if (type === 'file' || type === 'contiguous-file') yield { name, size, content };
      entry.resume();
    }
  } finally {
    archive.destroy();
    await feeding;
  }
}

async function feed(archive: Extract, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const gone = once(archive, 'close');
  gone.catch(() => {});
  for await (const chunk of bytes) {
    if (archive.destroyed) return;
    if (!archive.write(chunk)) await Promise.race([once(archive, 'drain'), gone]);
  }
  archive.end(null);
}
