import type { Digest } from '../../../lib/core/digest.ts';
import { blobInfo } from '../../../lib/core/geometry.ts';
import { decodeIndex, encodeIndex } from '../../../lib/objects/kept-index.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}` as Digest;
const hash = (index: number): Uint8Array => Buffer.alloc(32, index);
const one = Buffer.from(encodeIndex({ info: blobInfo(digest, 100), hash }));
const some = Buffer.from(encodeIndex({ info: blobInfo(digest, 2 ** 20 * 5 + 1), hash }));

export const target: FuzzTarget = {
  about: 'what an object store answers for the hashes of a blob that is kept there',
  parsers: { 'lib/objects/kept-index.ts': ['decodeIndex'] },
  form: 'bytes',
  corpus: [
    one,
    some,
    '{"version":1,"size":0,"pieceBytes":1}\n',
    '{"version":2,"size":5,"pieceBytes":1}\n',
    '{"version":1,"size":9007199254740991,"pieceBytes":1}\n',
    `${' '.repeat(300)}\n`,
    '{\n',
    '',
  ],
  parse: (input) => {
    const found = decodeIndex(digest, input);
    if (found === undefined) return;
    const { info } = found;
    promise(info.pieces * info.pieceBytes >= info.size, 'the pieces are all of the blob');
    promise(info.pieces === 0 || found.hash(info.pieces - 1).length === 32, 'each piece has a hash');
  },
};
