import { type FileHandle, open } from 'node:fs/promises';
import type { ChunkCallback, ChunkOptions, ChunkStore } from 'webtorrent';

/**
 * Keeps a torrent of one file in a file that we name: what names are in a torrent is decided by whoever made it.
 * @param path created when its first piece comes
 */
export function fileChunkStore(path: string): new (pieceBytes: number) => ChunkStore {
  return class FileChunkStore implements ChunkStore {
    readonly #pieceBytes: number;
    #file: Promise<FileHandle> | undefined;

    constructor(pieceBytes: number) {
      this.#pieceBytes = pieceBytes;
    }

    get(index: number, options: ChunkOptions | undefined, callback: ChunkCallback): void {
      const { length = this.#pieceBytes, offset = 0 } = options ?? {};
      this.#read(index * this.#pieceBytes + offset, length).then(
        (bytes) => callback(null, bytes),
        (error: unknown) => callback(error as Error),
      );
    }

    put(index: number, bytes: Uint8Array, callback: (error: Error | null) => void): void {
      this.#write(index * this.#pieceBytes, bytes).then(
        () => callback(null),
        (error: unknown) => callback(error as Error),
      );
    }

    close(callback: (error: Error | null) => void): void {
      const file = this.#file;
      this.#file = undefined;
      Promise.resolve(file)
        .then((opened) => opened?.close())
        .then(
          () => callback(null),
          (error: unknown) => callback(error as Error),
        );
    }

    destroy(callback: (error: Error | null) => void): void {
      this.close(callback);
    }

    async #read(at: number, length: number): Promise<Uint8Array> {
      if (this.#file === undefined) throw new Error('nothing is here yet');
      const bytes = Buffer.alloc(length);
      const { bytesRead } = await (await this.#file).read(bytes, 0, length, at);
      if (bytesRead < length) throw new Error('it is not here yet');
      return bytes;
    }

    async #write(at: number, bytes: Uint8Array): Promise<void> {
      this.#file ??= open(path, 'wx+');
      const file = await this.#file;
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      }
    }
  };
}
