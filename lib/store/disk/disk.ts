/** The few file operations that the store needs, so that tests can run on a disk that fills up, fails or is cut off. */
export interface Disk {
  /** Opens for reading and writing, created when absent. */
  open(path: string): Promise<DiskFile>;
  /**
   * Opens for reading only; undefined when there is no such plain file. Others may write to it. A name that is a link is
   * refused (ELOOP); with `within`, a folder above it, each name below that.
   */
  openToRead(path: string, within?: string): Promise<DiskFile | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** Removing what is not there is harmless. */
  remove(path: string): Promise<void>;
  /** A file of its own with the same bytes, sharing blocks where the file system can; never another name of the same. */
  copy(from: string, to: string): Promise<void>;
  /** Names in a folder, sorted; empty when the folder is absent. */
  list(folder: string): Promise<string[]>;
  makeFolder(path: string): Promise<void>;
  /** Size in bytes, or undefined when absent. */
  size(path: string): Promise<number | undefined>;
  /** A small file, or undefined when absent. */
  readText(path: string): Promise<string | undefined>;
  /** Replaces a small file as a whole; on stable storage afterwards. */
  writeText(path: string, text: string): Promise<void>;
  /** Of the file system that holds the folder. */
  space(folder: string): Promise<DiskSpace>;
  /** Names the run of the machine: another one may have lost what was written and not synced. */
  bootId(): Promise<string>;
}

export interface DiskSpace {
  readonly totalBytes: number;
  /** What we may still write. */
  readonly freeBytes: number;
}

export interface DiskFile {
  /** Writes all of `bytes` at `offset`. Errors carry the errno name as `code`: ENOSPC, EIO… */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** @returns bytes read; less than asked for only at the end of the file */
  read(into: Uint8Array, offset: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Data is on stable storage afterwards. */
  sync(): Promise<void>;
  /** Which file this is, its size and its times, as one text that changes whenever somebody writes to it. */
  stamp(): string;
  close(): Promise<void>;
}
