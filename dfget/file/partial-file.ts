import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';

const READ_BYTES = 1024 * 1024;
/** Digits of a key in the name of a beginning. */
const KEY_DIGITS = 16;
/** What follows the name of the file: key, and the process that writes, or wrote, it. */
const BEGINNING = /^([0-9a-f]{16})-(\d{1,10})\.partial$/;

/**
 * A file on its way to `path`: under another name in the same folder until it is whole. The beginning of one that has a key is
 * kept, and found again by who comes for the same file once its writer has gone: no two processes write one.
 */
export class PartialFile {
  readonly #target: string;
  readonly #path: string;
  readonly #keeps: boolean;
  readonly #file: FileHandle;
  #bytes: number;

  private constructor(
    file: FileHandle,
    place: { readonly target: string; readonly path: string; readonly keeps: boolean },
    bytes: number,
  ) {
    this.#file = file;
    this.#target = place.target;
    this.#path = place.path;
    this.#keeps = place.keeps;
    this.#bytes = bytes;
  }

  /**
   * @param key of the file; undefined: what is written is of no use later
   * @throws FILE_FAILED
   */
  static async open(target: string, key: string | undefined): Promise<PartialFile> {
    if (key !== undefined) {
      const path = partialPath(target, `${nameOfKey(key)}-${process.pid}`);
      await claim(target, nameOfKey(key), path);
      const found = await openOwn(path).catch((error: unknown) => {
        throw failed(target, error);
      });
      if (found !== undefined) {
        return new PartialFile(found.file, { target, path, keeps: true }, found.bytes);
      }
    }
    const path = partialPath(target, randomBytes(4).toString('hex'));
    const file = await open(path, 'wx+').catch((error: unknown) => {
      throw failed(target, error);
    });
    return new PartialFile(file, { target, path, keeps: false }, 0);
  }

  /** So many are here. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What is here, in order. The memory of a chunk is the reader's until it asks for the next one. */
  async *held(): AsyncGenerator<Uint8Array> {
    const chunk = new Uint8Array(READ_BYTES);
    for (let at = 0; at < this.#bytes; ) {
      const { bytesRead } = await this.#attempt(() => this.#file.read(chunk, 0, chunk.length, at));
      if (bytesRead === 0) throw failed(this.#target, new Error('it became shorter'));
      at += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  }

  /** Begins anew. */
  async reset(): Promise<void> {
    await this.#attempt(() => this.#file.truncate(0));
    this.#bytes = 0;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#attempt(() =>
        this.#file.write(chunk, at, chunk.length - at, this.#bytes),
      );
      at += bytesWritten;
      this.#bytes += bytesWritten;
    }
  }

  /** The file is whole: it takes its name, in the place of what had it. */
  async finish(): Promise<void> {
    await this.#attempt(() => this.#file.sync());
    await this.#file.close();
    await this.#attempt(() => rename(this.#path, this.#target));
    await removeOlder(this.#target);
  }

  /** @param useful what is here is the beginning of the file, as far as anybody knows */
  async giveUp(useful: boolean): Promise<void> {
    await this.#file.close();
    if (!useful || !this.#keeps || this.#bytes === 0) await rm(this.#path, { force: true });
  }

  async #attempt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      throw failed(this.#target, error);
    }
  }
}

function partialPath(target: string, name: string): string {
  return join(dirname(target), `.${basename(target)}.${name}.partial`);
}

function nameOfKey(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, KEY_DIGITS);
}

/**
 * The beginning that this user has there, or a new file; undefined when somebody else has that name, who could change it. One
 * from before the machine was started is begun anew: nobody knows what of it the disk had taken.
 */
async function openOwn(path: string): Promise<{ file: FileHandle; bytes: number } | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o666);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP' || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
  const { mtimeMs, nlink, size, uid } = await file.stat();
  if (uid !== process.getuid?.() || nlink !== 1) {
    await file.close();
    return undefined;
  }
  const startedMs = Date.now() - uptime() * 1000;
  if (size > 0 && mtimeMs < startedMs) await file.truncate(0);
  return { file, bytes: mtimeMs < startedMs ? 0 : size };
}

/** Gives a beginning that nobody writes any more our name for it. A rename succeeds for one process alone. */
async function claim(target: string, keyName: string, own: string): Promise<void> {
  for (const { keyName: found, path } of await abandoned(target)) {
    if (found !== keyName) continue;
    const claimed = await rename(path, own).then(
      () => true,
      () => false,
    );
    if (claimed) return;
  }
}

/** Removes beginnings of what the file was before. It is there: what cannot be tidied up is no failure. */
async function removeOlder(target: string): Promise<void> {
  for (const { path } of await abandoned(target)) await rm(path, { force: true }).catch(() => {});
}

/** Beginnings of the file whose writers have gone. */
async function abandoned(target: string): Promise<{ keyName: string; path: string }[]> {
  const prefix = `.${basename(target)}.`;
  const folder = dirname(target);
  const names = await readdir(folder).catch(() => []);
  return names.flatMap((name) => {
    const match = name.startsWith(prefix) ? BEGINNING.exec(name.slice(prefix.length)) : null;
    const [, keyName = '', pid = ''] = match ?? [];
    return match === null || isRunning(Number(pid)) ? [] : [{ keyName, path: join(folder, name) }];
  });
}

/** Whether another process of that id runs. */
function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function failed(path: string, error: unknown): DamselflyError {
  return new DamselflyError('FILE_FAILED', `${path} cannot be written: ${(error as Error).message}`, {
    path,
  });
}
