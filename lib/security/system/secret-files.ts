import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DamselflyError } from '../../core/errors.ts';

/** Undefined when there is no such file. @throws CONFIG_INVALID when it cannot be read */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new DamselflyError('CONFIG_INVALID', `cannot read ${path}: ${(error as Error).message}`);
  }
}

/** @throws CONFIG_INVALID when it cannot be read */
export async function readRequired(path: string): Promise<string> {
  const text = await readIfThere(path);
  if (text === undefined) throw new DamselflyError('CONFIG_INVALID', `there is no file ${path}`);
  return text;
}

/**
 * Writes a file whole or not at all, and its folder when that is missing.
 * @param mode 0o600 for secrets: nobody else may read them at any moment
 * @throws CONFIG_INVALID when it cannot
 */
export async function writeWhole(path: string, text: string, mode: 0o600 | 0o644): Promise<void> {
  try {
    const folder = dirname(path);
    // Only the last one is closed to others: what is around it may hold files for everybody.
    await mkdir(dirname(folder), { recursive: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, text, { mode, flush: true });
    await rename(`${path}.new`, path);
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `cannot write ${path}: ${(error as Error).message}`);
  }
}
