/** The few file operations that the store needs, so that tests can run on a disk that fills up, fails or is cut off. */
export interface Disk {
  /** Opens for reading and writing, created when absent. */
  open(path: string): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removing what is not there is harmless. */
  remove(path: string): Promise<void>;
  /** Names in a folder, sorted; empty when the folder is absent. */
  list(folder: string): Promise<string[]>;
  makeFolder(path: string): Promise<void>;
  /** Size in bytes, or undefined when absent. */
  size(path: string): Promise<number | undefined>;
}

export interface DiskFile {
  /** Writes all of `bytes` at `offset`. Errors carry the errno name as `code`: ENOSPC, EIO… */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** @returns bytes read; less than asked for only at the end of the file */
  read(into: Uint8Array, offset: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Data is on stable storage afterwards. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
