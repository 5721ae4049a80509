import type { Test } from 'tap';
import type { BlobSource } from '../../lib/core/blob-source.ts';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import type { ByteRange } from '../../lib/core/range.ts';
import type { MemoryOrigin } from '../../lib/origin/memory/memory-origin.ts';

/** What a BlobSource is tested over: the registry behind it is in memory. */
export interface BlobSourceFixture {
  readonly source: BlobSource;
  readonly registry: MemoryOrigin;
}

const MIB = 1024 * 1024;
const LIMIT_MS = 20_000;
const origin = { upstream: 'memory.test', repository: 'team/app' };

/** The contract of `lib/core/blob-source.ts`, for every implementation. */
export function blobSourceContract(t: Test, fixture: () => BlobSourceFixture): void {
  const read = async (digest: Digest, size: number, range?: ByteRange): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    const request = { digest, size, origin, ...(range === undefined ? {} : { range }) };
    const signal = AbortSignal.timeout(LIMIT_MS);
    for await (const chunk of fixture().source.open(request, { signal })) chunks.push(Uint8Array.from(chunk));
    return Buffer.concat(chunks);
  };

  t.test('yields a whole blob, byte for byte, the first time and from then on', async (t) => {
    const bytes = pattern(2 * MIB + 12_345, 1);
    const digest = fixture().registry.add(bytes);
    t.equal(digestOf(await read(digest, bytes.length)), digest);
    t.equal(digestOf(await read(digest, bytes.length)), digest);
    t.equal(fixture().registry.ratio(digest), 1, 'the registry was read once');
  });

  t.test('yields exactly the range that is asked for', async (t) => {
    const bytes = pattern(MIB + 7, 2);
    const digest = fixture().registry.add(bytes);
    for (const [start, end] of [
      [0, 1],
      [5, 300_000],
      [bytes.length - 1, bytes.length],
      [0, bytes.length],
    ] as const) {
      const got = await read(digest, bytes.length, { start, end });
      t.ok(got.equals(bytes.subarray(start, end)), `bytes ${start} to ${end}`);
    }
  });

  t.test('an empty blob is empty', async (t) => {
    t.equal((await read(digestOf(new Uint8Array()), 0)).length, 0);
  });

  t.test('two readers at once each get everything', async (t) => {
    const bytes = pattern(MIB, 3);
    const digest = fixture().registry.add(bytes);
    const got = await Promise.all([read(digest, bytes.length), read(digest, bytes.length)]);
    t.same(
      got.map((bytes) => digestOf(bytes)),
      [digest, digest],
    );
    t.equal(fixture().registry.ratio(digest), 1, 'from one read of the registry');
  });

  t.test('a blob that the registry refuses fails with the status of the registry', async (t) => {
    const missing = `sha256:${'1'.repeat(64)}` as Digest;
    await t.rejects(read(missing, 1000), { code: 'UPSTREAM_REFUSED', facts: { status: 404 } });
  });

  t.test('a reader of wrong bytes is cut off before the end', async (t) => {
    const bytes = pattern(MIB, 4);
    const digest = fixture().registry.add(bytes);
    fixture().registry.lie = digest;
    let received = 0;
    const reading = (async () => {
      const request = { digest, size: bytes.length, origin };
      for await (const chunk of fixture().source.open(request, { signal: AbortSignal.timeout(LIMIT_MS) })) {
        received += chunk.length;
      }
    })();
    await t.rejects(reading);
    t.ok(received < bytes.length, `${received} of ${bytes.length} bytes`);
    fixture().registry.lie = undefined;
    t.equal(digestOf(await read(digest, bytes.length)), digest, 'the next attempt succeeds');
  });

  t.test('a reader that gives up is done at once', async (t) => {
    const bytes = pattern(MIB, 5);
    const digest = fixture().registry.add(bytes);
    const controller = new AbortController();
    const reading = (async () => {
      const request = { digest, size: bytes.length, origin };
      for await (const chunk of fixture().source.open(request, { signal: controller.signal })) void chunk;
    })();
    controller.abort(new Error('changed my mind'));
    await t.rejects(reading, { code: 'ABORTED' });
  });
}

function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8) * 17 + seed * 101) & 0xff;
  return bytes;
}
