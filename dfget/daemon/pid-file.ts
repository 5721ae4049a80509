import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { DamselflyError } from '../../lib/core/errors.ts';

/**
 * Tells who the daemon is now, for systemd's PIDFile=.
 * @returns removes it, if it still says so
 * @throws CONFIG_INVALID
 */
export async function writePidFile(path: string | undefined): Promise<() => Promise<void>> {
  if (path === undefined) return async () => {};
  const text = `${process.pid}\n`;
  try {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--pid-file ${path}: ${(error as Error).message}`);
  }
  return async () => {
    const found = await readFile(path, 'utf8').catch(() => '');
    if (found === text) await rm(path, { force: true });
  };
}
