import { packed, readThrough, withChecksums } from '../tar.ts';
import type { FuzzTarget } from '../target.ts';

const blob = `blobs/sha256/${'ab'.repeat(32)}`;
const plain = await packed(['index.json', blob]);
const long = await packed([`${'d/'.repeat(120)}x`, `./${blob}`, '../../etc/passwd']);
const typed = (type: string): Buffer => {
  const copy = Buffer.from(plain);
  copy.write(type, 156, 'latin1');
  return withChecksums(copy);
};

export const target: FuzzTarget = {
  about: 'tar archives of images',
  parsers: {
    'lib/oci/archive/unpack.ts': ['*'],
    'lib/oci/archive/image-layout.ts': ['digestOfFile'],
  },
  form: 'bytes',
  corpus: [
    plain,
    long,
    ...['1', '2', '5', '7', 'L', 'K', 'x', 'g'].map(typed),
    plain.subarray(0, 700),
    'not a tar',
  ],
  maxBytes: 256 * 1024,
  parse: async (input) => {
    // What it is fed comes in two pieces: a header may be split anywhere.
    const whole = input.length % 2 === 0 ? withChecksums(Buffer.from(input)) : input;
    const cut = whole.length % 700;
    async function* bytes() {
      yield whole.subarray(0, cut);
      yield whole.subarray(cut);
    }
    await readThrough(bytes());
  },
};
