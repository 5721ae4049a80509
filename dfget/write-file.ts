import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { abortedError, DamselflyError } from '../lib/core/errors.ts';

/**
 * Writes a file that is there whole or not at all: under another name in the same folder, synced, then renamed. Replaces
 * what is at `path`.
 * @throws FILE_FAILED, ABORTED, and whatever `chunks` throws; then `path` is as it was
 */
export async function writeFileWhole(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.partial`);
  const attempt = async <T>(step: () => Promise<T>): Promise<T> => {
    try {
      return await step();
    } catch (error) {
      throw new DamselflyError('FILE_FAILED', `${path} cannot be written: ${(error as Error).message}`, {
        path,
      });
    }
  };
  const file: FileHandle = await attempt(() => open(partial, 'wx'));
  try {
    try {
      for await (const chunk of chunks) {
        if (signal.aborted) throw abortedError(signal);
        await attempt(() => writeAll(file, chunk));
      }
      await attempt(() => file.sync());
    } finally {
      await file.close();
    }
    await attempt(() => rename(partial, path));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
}
