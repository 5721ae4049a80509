import type { Hash } from 'node:crypto';
import t from 'tap';
import type { BlobRequest } from '../../lib/core/blob-source.ts';
import type { ByteRange } from '../../lib/core/range.ts';
import type { OriginClient } from '../../lib/origin/origin-client.ts';
import { HOLD_BACK_BYTES } from '../../lib/transfer/clients/blob-reader.ts';
import { readDirectly } from '../../lib/transfer/clients/direct-read.ts';
import { sampleBlob } from '../store/sample-blob.ts';

const SIZE = 4 * HOLD_BACK_BYTES;
const NEVER = new AbortController().signal;
const sample = sampleBlob(1, SIZE, HOLD_BACK_BYTES);
const right = Buffer.concat([0, 1, 2, 3].map((piece) => sample.piece(piece)));
const origin = { upstream: 'registry.test', repository: 'team/app' };
const whole: BlobRequest = { digest: sample.info.digest, size: SIZE, origin };
const asked = (start: number, end: number): ByteRange => ({ start, end });

/** A registry with these bytes, and the ranges that it was asked for. */
function registryWith(bytes: Buffer) {
  const ranges: ByteRange[] = [];
  const readBlob: OriginClient['readBlob'] = async ({ start = 0, end = SIZE }) => {
    ranges.push({ start, end });
    return { bytes: chunksOf(bytes.subarray(start, end)), size: SIZE, whole: false };
  };
  return { ranges, client: { readBlob } as OriginClient };
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}

/** All that a client was given, and what ended it. */
async function read(
  client: OriginClient,
  request: BlobRequest,
  from: Parameters<typeof readDirectly>[2],
): Promise<{ readonly bytes: Buffer; readonly error?: unknown }> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of readDirectly(client, request, from, NEVER)) chunks.push(Buffer.from(chunk));
  } catch (error) {
    return { bytes: Buffer.concat(chunks), error };
  }
  return { bytes: Buffer.concat(chunks) };
}

/** One bit of the byte at `at` is wrong. */
function wrongAt(at: number): Buffer {
  const bytes = Buffer.from(right);
  bytes[at]! ^= 1;
  return bytes;
}

const START = 100_000;
const rest: BlobRequest = { ...whole, range: asked(START, SIZE), rangeIs: 'rest' };

t.test('the rest of a blob is given whole when all of the blob has its digest', async (t) => {
  const { client, ranges } = registryWith(right);
  t.same(await read(client, rest, { start: START }), { bytes: right.subarray(START) });
  t.same(ranges, [asked(0, START), asked(START, SIZE)]);
});

for (const at of [START, SIZE - 1]) {
  t.test(`the end of the rest of a blob is not given when byte ${at} is wrong`, async (t) => {
    const { bytes, error } = await read(registryWith(wrongAt(at)).client, rest, { start: START });
    t.match(error, { code: 'DIGEST_MISMATCH' });
    t.equal(bytes.length, SIZE - HOLD_BACK_BYTES - START);
  });
}

t.test('what the client was given of its range counts, not what the registry would send now', async (t) => {
  const start = START + 5000;
  const giving = (bytes: Buffer) => (hash: Hash) => Promise.resolve(hash.update(bytes));
  const { client, ranges } = registryWith(right);
  const good = giving(right.subarray(START, start));
  t.same(await read(client, rest, { start, given: good }), { bytes: right.subarray(start) });
  t.same(ranges, [asked(0, START), asked(start, SIZE)]);
  const bad = giving(wrongAt(START).subarray(START, start));
  t.match((await read(client, rest, { start, given: bad })).error, { code: 'DIGEST_MISMATCH' });
});

t.test('a part of a blob costs the registry just that part', async (t) => {
  const { client, ranges } = registryWith(right);
  const part: BlobRequest = { ...whole, range: asked(START, SIZE), rangeIs: 'part' };
  t.same(await read(client, part, { start: START }), { bytes: right.subarray(START) });
  t.same(ranges, [asked(START, SIZE)]);
});
