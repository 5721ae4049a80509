import { decodeShare } from '../../../dfget/torrent/share-record.ts';
import { isDigest } from '../../../lib/core/digest.ts';
import { type FuzzTarget, promise } from '../target.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const share = {
  ...{
    infoHash: 'a1'.repeat(20),
    source: 'x',
    name: 'x.tar',
    size: 5,
    pieceBytes: 1,
    digest,
    announce: ['y'],
  },
  ...{ passkey: 'z', pinned: [digest], torrent: 'AAAA' },
  parts: [
    { kind: 'blob', digest, size: 5 },
    { kind: 'bytes', bytes: 'AAAA' },
  ],
};

export const target: FuzzTarget = {
  about: 'the record of a file that is shared with BitTorrent clients',
  parsers: { 'dfget/torrent/share-record.ts': ['decodeShare'] },
  form: 'json',
  corpus: [JSON.stringify(share), JSON.stringify({ ...share, parts: [{ kind: 'x' }] }), '{'],
  parse: (input) => {
    let read: ReturnType<typeof decodeShare>;
    try {
      read = decodeShare(input.toString());
    } catch (error) {
      if (error instanceof TypeError || error instanceof RangeError) throw error;
      // Its reader leaves the record out, and says so.
      return;
    }
    promise(/^[0-9a-f]{40}$/.test(read.infoHash), 'it names its file');
    promise(
      read.parts.every((part) => (part.kind === 'blob' ? isDigest(part.digest) : part.bytes.length >= 0)),
      'parts are blobs or bytes',
    );
  },
};
