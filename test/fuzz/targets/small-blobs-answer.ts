import type { Digest } from '../../../lib/core/digest.ts';
import { type SmallBlob, splitAnswer } from '../../../lib/wire/small-blobs-codec.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const blobs: readonly SmallBlob[] = [3, 1, 4].map((size) => ({ digest, size }));

export const target: FuzzTarget = {
  about: 'the answer to a question for small blobs: what its header says is there, and the bytes',
  parsers: { 'lib/wire/small-blobs-codec.ts': ['splitAnswer'] },
  form: 'bytes',
  corpus: ['111abcdefgh', '010x', '000', '101abcefgh', '11', '11a', '012xyz'],
  // The first three bytes are the header.
  parse: (input) => {
    const body = input.subarray(3);
    const parts = splitAnswer(blobs, input.toString('latin1', 0, 3), body);
    const bytes = (parts ?? []).reduce((sum, part) => sum + (part?.length ?? 0), 0);
    promise(parts === undefined || bytes === body.length, 'every byte belongs to one blob');
  },
};
