import { createReadStream } from 'node:fs';
import type { Digest } from '../lib/core/digest.ts';
import { DamselflyError } from '../lib/core/errors.ts';
import { archiveIndex, digestOfFile, INDEX_FILE } from '../lib/oci/archive/image-layout.ts';
import { unpackArchive } from '../lib/oci/archive/unpack.ts';
import { unzipped } from '../lib/oci/archive/unzipped.ts';
import { MAX_MANIFEST_BYTES } from '../lib/oci/manifest.ts';
import { formatReference, parseReference } from '../lib/oci/reference.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { ImportedImage } from './local-protocol.ts';
import type { BlobEvents } from './read-blob.ts';

const READ_BYTES = 256 * 1024;

/**
 * Brings an archive's blobs into the daemon's store, each verified there, and gives its images their names.
 * @param name of the image, for an archive of one that does not say, or under another
 * @throws FILE_FAILED when it is not an OCI archive; DIGEST_MISMATCH, REFERENCE_INVALID, BLOB_UNKNOWN, STORE_*, ABORTED
 */
export async function importArchive(
  client: DaemonClient,
  { file, name }: { readonly file: string; readonly name?: string | undefined },
  events: BlobEvents,
  signal: AbortSignal,
): Promise<ImportedImage[]> {
  let index: Uint8Array | undefined;
  try {
    for await (const { content, name: path, size } of unpackArchive(archiveBytes(file, signal))) {
      const digest = digestOfFile(path);
      if (digest !== undefined) await putBlob(client, { digest, size }, content, events, signal);
      else if (path.replace(/^\.\//, '') === INDEX_FILE) index = await readSmall(content, size);
    }
  } catch (error) {
    if (error instanceof DamselflyError) throw error;
    throw failed(file, (error as Error).message);
  }
  const roots = index === undefined ? [] : archiveIndex(index);
  if (roots.length === 0) {
    throw failed(
      file,
      'it has no index.json with images: it is no OCI archive, as "dfget pull -o" and docker save write',
    );
  }
  if (name !== undefined && roots.length > 1) {
    throw new DamselflyError(
      'REFERENCE_INVALID',
      `${file} has ${roots.length} images: --name is for archives of one`,
    );
  }
  const images: ImportedImage[] = [];
  for (const { digest, mediaType, name: own } of roots) {
    const told = name ?? own;
    if (told === undefined) {
      throw new DamselflyError(
        'REFERENCE_INVALID',
        `${file} does not name its image: say --name REGISTRY/REPOSITORY:TAG`,
      );
    }
    const image = formatReference(parseReference(told));
    images.push(await client.keepImage({ image, digest, mediaType }, signal));
  }
  return images;
}

async function putBlob(
  client: DaemonClient,
  { digest, size }: { readonly digest: Digest; readonly size: number },
  content: AsyncIterable<Uint8Array>,
  events: BlobEvents,
  signal: AbortSignal,
): Promise<void> {
  let broken: Error | undefined;
  async function* counted(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of content) {
        events.blobAdvanced(digest, chunk.length);
        yield chunk;
      }
    } catch (error) {
      broken = error as Error;
      throw error;
    }
  }
  events.blobStarted(digest, size);
  try {
    await client.putBlob(digest, size, counted(), signal);
  } catch (error) {
    // The archive's own fault, not the daemon's.
    throw broken ?? error;
  }
  events.blobDone(digest);
}

/** The file's bytes, unpacked when it is gzip. @throws FILE_FAILED, ABORTED */
async function* archiveBytes(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const source = createReadStream(file, { highWaterMark: READ_BYTES, signal });
  try {
    yield* unzipped(source as AsyncIterable<Buffer>);
  } catch (error) {
    if (signal.aborted) throw new DamselflyError('ABORTED', 'interrupted');
    throw failed(file, (error as Error).message);
  } finally {
    source.destroy();
  }
}

async function readSmall(content: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  if (size > MAX_MANIFEST_BYTES) throw new Error(`${INDEX_FILE} is larger than 4 MiB`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function failed(file: string, why: string): DamselflyError {
  return new DamselflyError('FILE_FAILED', `${file} cannot be read: ${why}`, { path: file });
}
