import type { Digest } from '../../../lib/core/digest.ts';
import { blobInfo } from '../../../lib/core/geometry.ts';
import { blobKey, decodeBlobRecord, encodeBlobRecord } from '../../../lib/store/record.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const key = blobKey(digest);
const record = encodeBlobRecord({
  ...{ info: blobInfo(digest, 2 ** 33), complete: false, synced: true, pinned: true },
  ...{ usedAtMs: 1e12, heldBytes: 2 ** 20, boot: 2 ** 40 },
});

export const target: FuzzTarget = {
  about: "a blob's record in the store: its key, a line break, its bytes",
  parsers: { 'lib/store/record.ts': ['decodeBlobRecord', 'getUint64', 'chunkOfKey'] },
  form: 'bytes',
  corpus: [Buffer.concat([Buffer.from(`${key}\n`), record]), `${key}\n`, 'blob/sha256:1\n', 'x'],
  parse: (input) => {
    const end = input.indexOf('\n');
    const found = decodeBlobRecord(input.toString('latin1', 0, Math.max(end, 0)), input.subarray(end + 1));
    if (found === undefined) return;
    const { heldBytes, info } = found;
    promise(heldBytes <= info.size && info.pieces * info.pieceBytes >= info.size, 'its numbers fit together');
  },
};
