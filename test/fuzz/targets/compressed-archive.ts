import { gzipSync } from 'node:zlib';
import { unzipped } from '../../../lib/oci/archive/unzipped.ts';
import { packed, readThrough } from '../tar.ts';
import type { FuzzTarget } from '../target.ts';

const tar = await packed(['index.json', `blobs/sha256/${'ab'.repeat(32)}`]);
const zipped = gzipSync(tar);

export const target: FuzzTarget = {
  about: 'archives of images, compressed',
  parsers: { 'lib/oci/archive/unzipped.ts': ['*'] },
  form: 'bytes',
  corpus: [
    zipped,
    tar,
    Buffer.concat([zipped, zipped]),
    Buffer.concat([zipped, Buffer.from('more')]),
    zipped.subarray(0, 60),
    Buffer.from([0x1f]),
    '',
  ],
  beyond: [gzipSync(Buffer.alloc(4 * 1024 * 1024))],
  maxBytes: 64 * 1024,
  parse: async (input) => {
    // Whatever was changed may lie within what is compressed, too.
    const whole = input.length % 2 === 0 ? input : gzipSync(input, { level: 1 });
    const cut = whole.length % 700;
    async function* bytes() {
      yield whole.subarray(0, cut);
      yield whole.subarray(cut);
    }
    await readThrough(unzipped(bytes()));
  },
};
