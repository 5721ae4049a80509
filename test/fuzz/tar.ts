import { digestOfFile } from '../../lib/oci/archive/image-layout.ts';
import { packArchive } from '../../lib/oci/archive/pack.ts';
import { unpackArchive } from '../../lib/oci/archive/unpack.ts';
import { promise } from './target.ts';

/** What tar's fields hold is at fixed places: the checksum is put right, or else nothing but it would be tested. */
const BLOCK = 512;
const CHECKSUM_AT = 148;

export async function packed(names: readonly string[]): Promise<Buffer> {
  async function* files() {
    for (const name of names) yield { name, size: 5, content: [Buffer.from('hello')] };
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of packArchive(files())) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function withChecksums(input: Buffer): Buffer {
  for (let at = 0; at + BLOCK <= input.length; at += BLOCK) {
    const block = input.subarray(at, at + BLOCK);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(' ', CHECKSUM_AT, CHECKSUM_AT + 8);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 'latin1');
  }
  return input;
}

/** Reads an archive to its end, and holds it to what it promises. */
export async function readThrough(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const { content, name, size } of unpackArchive(bytes)) {
      const digest = digestOfFile(name);
      promise(digest === undefined || !name.includes('..'), 'a blob lies in its folder');
      let read = 0;
      for await (const chunk of content) read += chunk.length;
      promise(read <= size, 'a file is no longer than it says');
    }
  } catch (error) {
    // The library's own words for what is no archive; its reader tells them as FILE_FAILED.
    if (!(error instanceof Error) || /broken promise/.test(error.message) || error instanceof TypeError) {
      throw error;
    }
  }
}
