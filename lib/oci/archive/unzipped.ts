import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

const GZIP = [0x1f, 0x8b];
const CHUNK_BYTES = 256 * 1024;

/**
 * An archive's bytes, unpacked when they are gzip, as they come: a short file that would make a long one takes no more
 * memory than any other.
 * @throws whatever `bytes` throws; Error when it is gzip, but broken or not whole
 */
export async function* unzipped(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = bytes[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let ended = false;
  while (head.length < GZIP.length && !ended) {
    const next = await chunks.next();
    if (next.done === true) ended = true;
    else head = Buffer.concat([head, next.value]);
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      if (head.length > 0) yield head;
      for (
        let next = ended ? undefined : await chunks.next();
        next?.done === false;
        next = await chunks.next()
      ) {
        yield next.value;
      }
    } finally {
      await chunks.return?.();
    }
  }
  if (!GZIP.every((byte, at) => head[at] === byte)) {
    yield* all();
    return;
  }
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const source = Readable.from(all());
  source.on('error', (error) => gunzip.destroy(error));
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}
