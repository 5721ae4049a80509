/**
 * Helper of the row metadata-start: `fill FOLDER BLOBS PIECES` makes a store that knows so many complete blobs of so many
 * pieces each, `open FOLDER` opens it and prints what that cost as one JSON line.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import { silentLog } from '../../lib/observe/log.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import { HeldPieces } from '../../lib/store/held-pieces.ts';
import type { KeyValueOperation } from '../../lib/store/key-value/key-value.ts';
import { openLevelKeyValue } from '../../lib/store/key-value/level-key-value.ts';
import { openNodeBlobStore } from '../../lib/store/node-blob-store.ts';
import { blobPath, recordsFolder } from '../../lib/store/path.ts';
import { blobKey, CHUNK_PIECES, encodeBlobRecord, pieceKey } from '../../lib/store/record.ts';
import type { BlobStore } from '../../lib/store/store.ts';

const PIECE_BYTES = 1024 * 1024;
/** Sets of random proofs; more would only take longer to make. */
const DIFFERENT_BLOBS = 200;
const BLOBS_PER_BATCH = 500;

const [mode, folder = '', blobs = '0', pieces = '0'] = process.argv.slice(2);
if (mode === 'fill') await fill(folder, Number(blobs), Number(pieces));
else if (mode === 'open') await measureOpen(folder);
else throw new Error('usage: metadata-main.ts fill FOLDER BLOBS PIECES | open FOLDER');

function openStore(path: string): Promise<BlobStore> {
  const deps = { log: silentLog(), clock: createSystemClock(), wallClockMs: () => Date.now() };
  return openNodeBlobStore({ ...deps, folder: path });
}

async function measureOpen(path: string): Promise<void> {
  const store = await openStore(path);
  const seconds = performance.now() / 1000;
  const summaries = store.list();
  const { maxRSS } = process.resourceUsage();
  const [first] = summaries;
  const blob = first === undefined ? undefined : await store.open(first.info.digest);
  const found = {
    seconds,
    blobs: summaries.length,
    pieces: blob?.have.count ?? 0,
    peakRssBytes: maxRSS * 1024,
  };
  process.stdout.write(`${JSON.stringify(found)}\n`);
  await store.close();
}

async function fill(path: string, count: number, piecesEach: number): Promise<void> {
  await (await openStore(path)).close();
  const size = piecesEach * PIECE_BYTES;
  // In order, so that LevelDB ends up as compact as one that had time.
  const digests = Array.from({ length: count }, (_, index) => digestOf(Buffer.from(String(index)))).sort();
  const chunks = Array.from({ length: DIFFERENT_BLOBS }, () => randomChunks(piecesEach));
  const records = await openLevelKeyValue(recordsFolder(path));
  for (let at = 0; at < count; at += BLOBS_PER_BATCH) {
    const batch: KeyValueOperation[] = [];
    for (const [offset, digest] of digests.slice(at, at + BLOBS_PER_BATCH).entries()) {
      makeFile(blobPath(path, digest), size);
      const record = { complete: true, synced: true, pinned: false, heldBytes: size, boot: 1 };
      const info = blobInfo(digest, size, PIECE_BYTES);
      const value = encodeBlobRecord({ info, usedAtMs: Date.now(), ...record });
      batch.push({ type: 'put', key: blobKey(digest), value });
      for (const [chunk, bytes] of (chunks[(at + offset) % DIFFERENT_BLOBS] ?? []).entries()) {
        batch.push({ type: 'put', key: pieceKey(digest, chunk), value: bytes });
      }
    }
    await records.batch(batch);
  }
  await records.close();
}

function randomChunks(count: number): Uint8Array[] {
  const digest = `sha256:${'0'.repeat(64)}` as Digest;
  const pieces = new HeldPieces(blobInfo(digest, count * PIECE_BYTES, PIECE_BYTES));
  const generation = randomBytes(8).toString('hex');
  for (let index = 0; index < count; index++) {
    pieces.mark({ index, hash: randomBytes(32), generation, signature: new Uint8Array(0) });
    pieces.hold(index);
  }
  return Array.from({ length: Math.ceil(count / CHUNK_PIECES) }, (_, chunk) => pieces.encode(chunk));
}

function makeFile(path: string, size: number): void {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  closeSync(file);
}
