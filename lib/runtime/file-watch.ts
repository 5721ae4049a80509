import { type Clock, every } from './clock.ts';

/** Often enough for a person who waits; one look costs microseconds. */
const LOOK_MS = 1_000;

/** Tells one state of a file from another; undefined when there is no file. Never rejects. */
export type FileStamp = (path: string) => Promise<string | undefined>;

/**
 * Calls when the file has become another one, however that was done: written in place, replaced by a rename, by a link
 * that leads elsewhere, or removed. Not before it has looked the same twice, one second apart: whoever writes it may not
 * be done. Looking needs no more than `stat`, and so works on any file system and before the file is there.
 * @returns ends it
 */
export function watchFile(
  { clock, stamp }: { readonly clock: Clock; readonly stamp: FileStamp },
  path: string,
  changed: () => void,
): () => void {
  let known = stamp(path);
  let before: string | undefined;
  let looking = false;
  const look = async (): Promise<void> => {
    const settled = await known;
    const now = await stamp(path);
    const same = now === before;
    before = now;
    if (now === settled || !same) return;
    known = Promise.resolve(now);
    changed();
  };
  return every(clock, LOOK_MS, () => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  });
}
