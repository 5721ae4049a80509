import { abortedError, DamselflyError, describeError } from '../../core/errors.ts';
import type { Disk } from '../../store/disk/disk.ts';
import type { LayoutFiles } from './layout-files.ts';

/** One read of the disk. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * The files of a folder. Names in it that are links, of files or of folders, are not followed: a folder that somebody else
 * may write to must not lead to files that only we may read.
 */
export function openFolder(disk: Disk, folder: string): LayoutFiles {
  const pathOf = (name: string): string => `${folder === '/' ? '' : folder}/${name}`;
  const tell = async <T>(name: string, act: () => Promise<T>): Promise<T> => {
    try {
      return await act();
    } catch (error) {
      throw unreadable(pathOf(name), error);
    }
  };
  return {
    place: folder,
    exists: async () => (await tell('', () => disk.list(folder))).length > 0,
    size: (name) => tell(name, () => disk.size(pathOf(name))),
    async *read(name, { start, end }, signal) {
      const file = await tell(name, () => disk.openToRead(pathOf(name), folder));
      if (file === undefined) throw broken(pathOf(name), 'is no plain file');
      try {
        for (let at = start; at < end; ) {
          if (signal.aborted) throw abortedError(signal);
          const chunk = new Uint8Array(Math.min(CHUNK_BYTES, end - at));
          const length = await tell(name, () => file.read(chunk, at));
          if (length < chunk.length) throw broken(pathOf(name), 'ends early');
          at += length;
          yield chunk;
        }
      } finally {
        await file.close();
      }
    },
    close: async () => {},
  };
}

function unreadable(path: string, error: unknown): DamselflyError {
  const link = (error as NodeJS.ErrnoException).code === 'ELOOP';
  const why = link ? 'it is a link; links are not followed' : describeError(error);
  return new DamselflyError('UPSTREAM_UNREACHABLE', `cannot read ${path}: ${why}`, {}, { cause: error });
}

function broken(path: string, what: string): DamselflyError {
  return new DamselflyError('UPSTREAM_BROKEN', `${path} ${what}`);
}
