import type { Digest } from '../../../lib/core/digest.ts';
import { blobInfo } from '../../../lib/core/geometry.ts';
import { SIGNATURE_BYTES } from '../../../lib/core/proof.ts';
import { HeldPieces } from '../../../lib/store/held-pieces.ts';
import { type FuzzTarget, promise } from '../target.ts';

const info = blobInfo(`sha256:${'ab'.repeat(32)}` as Digest, 20 * 2 ** 18 - 5, 2 ** 18);
const full = new HeldPieces(info);
for (let index = 0; index < info.pieces; index++) {
  const signature = new Uint8Array(index % 2 === 0 ? SIGNATURE_BYTES : 0);
  full.mark({ index, hash: new Uint8Array(32).fill(index), generation: '0011223344556677', signature });
  if (index % 3 === 0) full.hold(index);
}

export const target: FuzzTarget = {
  about: "the records of a blob's pieces and their proofs",
  parsers: {
    'lib/store/held-pieces.ts': ['load', 'hasBit'],
    'lib/store/proof-table.ts': ['unpack', 'get', 'packedBytes'],
  },
  form: 'bytes',
  corpus: [
    full.encode(0),
    full.encode(1),
    full.encode(0).subarray(0, 200),
    new Uint8Array(4),
    new Uint8Array(),
  ],
  parse: (input) => {
    for (const chunk of [0, 1]) {
      const pieces = new HeldPieces(info);
      pieces.load(chunk, input);
      promise(
        pieces.have.count <= pieces.marked.count && pieces.bytes <= info.size,
        'what is held is marked',
      );
      for (let index = 0; index < info.pieces; index++) {
        if (!pieces.marked.has(index)) continue;
        const { generation, hash, signature } = pieces.proof(index);
        promise(hash.length === 32 && /^[0-9a-f]{16}$/.test(generation), 'a proof has its form');
        promise(signature.length === 0 || signature.length === SIGNATURE_BYTES, 'a signature is whole');
      }
      const again = new HeldPieces(info);
      again.load(chunk, pieces.encode(chunk));
      promise(again.marked.count === pieces.marked.count, 'what was read is read again');
    }
  },
};
