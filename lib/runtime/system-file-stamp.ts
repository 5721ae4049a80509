import { stat } from 'node:fs/promises';
import type { FileStamp } from './file-watch.ts';

/** Which file the path leads to, and when it was written. */
export const systemFileStamp: FileStamp = async (path) => {
  try {
    const { ctimeNs, dev, ino, mtimeNs, size } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch {
    return undefined;
  }
};
