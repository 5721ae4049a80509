import { type BlobHasher, createBlobHasher, type Digest, pieceHash } from '../../../lib/core/digest.ts';
import { blobInfo, pieceBytesFor, pieceLength } from '../../../lib/core/geometry.ts';
import { silentLog } from '../../../lib/observe/log.ts';
import { createSystemClock } from '../../../lib/runtime/system-clock.ts';
import { openNodeBlobStore } from '../../../lib/store/node-blob-store.ts';
import { blobPath } from '../../../lib/store/path.ts';
import type { BlobStore, StoredBlob } from '../../../lib/store/store.ts';
import { randomBytesOf } from '../../fixtures/random-bytes.ts';
import type { Source } from './job.ts';

/** Of every proof in these benches. */
export const GENERATION = '0'.repeat(16);

export function openStore(folder: string): Promise<BlobStore> {
  const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now() };
  return openNodeBlobStore({ ...deps, folder });
}

/** A store with one complete blob of random bytes, cut as the product cuts a blob of that size. */
export async function fillStore(folder: string, bytes: number): Promise<[Source, StoredBlob]> {
  const whole = createBlobHasher();
  const hashes = Array.from(piecesOf(bytes, whole), pieceHash);
  const info = blobInfo(whole.digest(), bytes);
  const store = await openStore(folder);
  const stored = await store.create(info);
  let index = 0;
  for (const piece of piecesOf(bytes)) {
    const hash = hashes[index]!;
    await stored.write({ index: index++, hash, generation: GENERATION, signature: new Uint8Array() }, piece);
  }
  await stored.commit();
  return [{ info, hashes, file: blobPath(folder, info.digest) }, stored];
}

/** The same pieces every time, in one piece of memory. */
function* piecesOf(bytes: number, whole?: BlobHasher): Generator<Uint8Array> {
  const info = { digest: '' as Digest, size: bytes, pieceBytes: pieceBytesFor(bytes), pieces: 0 };
  const piece = Buffer.alloc(info.pieceBytes);
  let index = 0;
  let filled = 0;
  for (const chunk of randomBytesOf('transfer', bytes)) {
    whole?.update(chunk);
    piece.set(chunk, filled);
    filled += chunk.length;
    if (filled < pieceLength(info, index)) continue;
    yield piece.subarray(0, filled);
    filled = 0;
    index++;
  }
}
