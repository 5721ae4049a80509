import { DamselflyError } from '../../core/errors.ts';

/**
 * The files of a folder or a bucket, for reading; names are relative and have slashes. Every method rejects with
 * UPSTREAM_UNREACHABLE when what holds them cannot be read, with ABORTED when the signal fires first.
 */
export interface LayoutFiles {
  /** For people. */
  readonly place: string;
  /** Whether there is anything at the place itself, so that a wrong address is told from an empty answer. */
  exists(signal: AbortSignal): Promise<boolean>;
  /** Bytes; undefined when there is no such file. */
  size(name: string, signal: AbortSignal): Promise<number | undefined>;
  /** From `start` to `end`, exclusive; throws UPSTREAM_BROKEN when it ends before. Nothing is verified here. */
  read(
    name: string,
    range: { readonly start: number; readonly end: number },
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/**
 * A small file as a whole; undefined when there is none.
 * @throws UPSTREAM_BROKEN when it is larger than `mostBytes`, or ends early
 */
export async function readWhole(
  files: LayoutFiles,
  name: string,
  mostBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const size = await files.size(name, signal);
  if (size === undefined) return undefined;
  if (size > mostBytes) {
    const message = `${name} in ${files.place} has ${size} bytes, more than ${mostBytes}`;
    throw new DamselflyError('UPSTREAM_BROKEN', message, { definite: true });
  }
  const chunks: Uint8Array[] = [];
  if (size > 0) {
    for await (const chunk of files.read(name, { start: 0, end: size }, signal)) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
