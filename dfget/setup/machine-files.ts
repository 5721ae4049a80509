import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { DamselflyError } from '../../lib/core/errors.ts';
import { refuse } from './refuse.ts';

/** Who may do what with a file. */
export interface FileRights {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** The files of a machine, or of one that is still an image, under absolute paths. */
export interface MachineFiles {
  /** @returns undefined when there is no such file */
  read(path: string): { readonly bytes: Buffer; readonly rights: FileRights } | undefined;
  /** Names in a folder, sorted; none when there is no such folder. */
  list(folder: string): string[];
  /** Those of the folder and the ones above it that do not exist, the deepest last. */
  missingFolders(folder: string): string[];
  /** Whole or not at all; folders on the way are made. Without rights: of the file that it replaces, or 0644. */
  write(path: string, bytes: Buffer, rights?: FileRights): void;
  remove(path: string): void;
  /** Only if it is empty, and not a mount point: that is for who mounted it. */
  removeFolder(path: string): void;
  /** With everything in it. */
  removeTree(path: string): void;
}

const NEW_FILE_MODE = 0o644;

/** @throws CONFIG_INVALID when `root` is no folder; its methods SETUP_REFUSED when the system does not let them */
export function createMachineFiles(root: string): MachineFiles {
  let base: string;
  try {
    base = realpathSync(root);
  } catch (error) {
    throw new DamselflyError('CONFIG_INVALID', `--root ${root}: ${(error as Error).message}`);
  }

  /** Where a path really is: links are followed, but never out of the root. */
  const place = (path: string): string => {
    const wanted = join(base, path);
    const real = realPath(wanted);
    if (base !== '/' && relative(base, real).startsWith('..')) {
      refuse(path, `a link leads out of ${root}, to ${real}`);
    }
    if (isLink(real)) {
      refuse(path, 'it is a link to a file that is not there: make that file, or delete the link');
    }
    return real;
  };
  const attempt = <T>(path: string, action: () => T): T => {
    try {
      return action();
    } catch (error) {
      if (error instanceof DamselflyError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      const hint = code === 'EACCES' || code === 'EPERM' ? ': run this as root' : '';
      throw new DamselflyError('SETUP_REFUSED', `${path}: ${message}${hint}`, { path }, { cause: error });
    }
  };

  return {
    read: (path) =>
      attempt(path, () => {
        const real = place(path);
        try {
          const { mode, uid, gid } = statSync(real);
          return { bytes: readFileSync(real), rights: { mode: mode & 0o7777, uid, gid } };
        } catch (error) {
          if (isAbsent(error)) return undefined;
          throw error;
        }
      }),
    list: (folder) =>
      attempt(folder, () => {
        try {
          return readdirSync(place(folder)).sort();
        } catch (error) {
          if (isAbsent(error)) return [];
          throw error;
        }
      }),
    missingFolders: (folder) =>
      attempt(folder, () => {
        const missing: string[] = [];
        for (let at = folder; at !== '/' && !exists(place(at)); at = dirname(at)) missing.unshift(at);
        return missing;
      }),
    write: (path, bytes, rights) =>
      attempt(path, () => {
        const real = place(path);
        mkdirSync(dirname(real), { recursive: true });
        const { mode, uid, gid } = rights ?? rightsOf(real) ?? { mode: NEW_FILE_MODE, uid: -1, gid: -1 };
        const fresh = join(dirname(real), `.${basename(real)}.damselfly`);
        try {
          writeFileSync(fresh, bytes, { mode: 0o600, flush: true });
          if (uid !== -1 && process.getuid?.() === 0) chownSync(fresh, uid, gid);
          chmodSync(fresh, mode);
          renameSync(fresh, real);
        } catch (error) {
          rmSync(fresh, { force: true });
          throw error;
        }
      }),
    remove: (path) => attempt(path, () => rmSync(place(path), { force: true })),
    removeFolder: (path) =>
      attempt(path, () => {
        try {
          rmdirSync(place(path));
        } catch (error) {
          if (!isInUse(error) && !isAbsent(error)) throw error;
        }
      }),
    removeTree: (path) => attempt(path, () => rmSync(place(path), { recursive: true, force: true })),
  };
}

/**
 * There is something else in it, or a disk is mounted there: it was not made for us, or not for us alone. EROFS: what is around
 * the mount point cannot be written, as in a container.
 */
function isInUse(error: unknown): boolean {
  return ['ENOTEMPTY', 'EEXIST', 'EBUSY', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function exists(path: string): boolean {
  return rightsOf(path) !== undefined;
}

function rightsOf(path: string): FileRights | undefined {
  try {
    const { mode, uid, gid } = statSync(path);
    return { mode: mode & 0o7777, uid, gid };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

/** With every link on the way followed; of what does not exist yet, the part that does. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    return join(realPath(dirname(path)), basename(path));
  }
}
