import { DamselflyError, hasCode } from '../../lib/core/errors.ts';
import { type Checksum, createChecksumHasher, formatChecksum } from './checksum.ts';
import type { FileSource } from './file-source.ts';
import { PartialFile } from './partial-file.ts';

export interface FileEvents {
  /** @param bytes here from an attempt before */
  started(size: number | undefined, bytes: number): void;
  advanced(bytes: number): void;
}

export interface DownloadedFile {
  /** Of the whole file, and of them those that were here already. */
  readonly bytes: number;
  readonly resumed: number;
}

/**
 * Writes a file that is there whole or not at all, and checks it. What an attempt that failed has got is kept beside it for the
 * next one, unless the file turned out to be another than was wanted.
 * @param pace waits until so many more bytes may be taken
 * @throws FILE_FAILED, DIGEST_MISMATCH, UPSTREAM_*, DAEMON_UNREACHABLE, ABORTED
 */
export async function downloadFile(
  source: FileSource,
  to: { readonly path: string; readonly checksum?: Checksum | undefined },
  events: FileEvents,
  pace: (bytes: number) => Promise<void>,
  signal: AbortSignal,
): Promise<DownloadedFile> {
  const { checksum } = to;
  const { size } = source;
  const file = await PartialFile.open(to.path, source.key);
  let useful = true;
  try {
    // A beginning is that of a file that is longer.
    if (size === undefined || file.bytes > size) await file.reset();
    for (;;) {
      const resumed = file.bytes;
      const actual = await fetchRest();
      if (size !== undefined && file.bytes !== size) {
        useful = false;
        throw new DamselflyError('UPSTREAM_BROKEN', 'the file is not as long as its source said', { size });
      }
      if (checksum === undefined || actual === checksum.hex) {
        await file.finish();
        return { bytes: file.bytes, resumed };
      }
      await file.reset();
      if (resumed === 0) {
        throw new DamselflyError('DIGEST_MISMATCH', 'the file does not have the digest that was asked for', {
          expected: formatChecksum(checksum),
          actual: `${checksum.algorithm}:${actual}`,
        });
      }
      // The beginning may have been what was wrong.
    }
  } catch (error) {
    await file.giveUp(useful && !hasCode(error, 'DIGEST_MISMATCH'));
    throw error;
  }

  /** @returns hex digits of the checksum, if there is one */
  async function fetchRest(): Promise<string | undefined> {
    const hasher = checksum && createChecksumHasher(checksum);
    events.started(size, file.bytes);
    if (hasher !== undefined) for await (const chunk of file.held()) hasher.update(chunk);
    if (size === undefined || file.bytes < size) {
      for await (const chunk of source.open(file.bytes, signal)) {
        signal.throwIfAborted();
        await file.append(chunk);
        hasher?.update(chunk);
        events.advanced(chunk.length);
        await pace(chunk.length);
      }
    }
    return hasher?.hex();
  }
}
