import t from 'tap';
import { type Digest, digestOf } from '../../lib/core/digest.ts';
import { blobMeant, Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import type { PeerMessage } from '../../lib/wire/peer-messages.ts';

const PEER = { id: 'p'.repeat(40), role: 'node', host: 'p', port: 1, zone: '' } as const;
const digestOfNumber = (number: number): Digest => digestOf(Buffer.from(String(number)));

function setup() {
  const sent: PeerMessage[] = [];
  const neighbour = new Neighbour(PEER, (message) => void sent.push(message));
  const open = (handle: number, number: number): void =>
    neighbour.noteOpen(handle, { digest: digestOfNumber(number), size: 10, pieceBytes: 10 });
  return { neighbour, open, sent };
}

t.test('a handle that is given to another blob names the first one no more', async (t) => {
  const { neighbour, open } = setup();
  open(1, 1);
  neighbour.openOurs(7, { digest: digestOfNumber(1), size: 10, pieceBytes: 10 });
  t.ok(neighbour.meet({ digest: digestOfNumber(1), size: 10, pieceBytes: 10 }));
  open(1, 2);
  t.equal(neighbour.theirBlob(1)?.digest, digestOfNumber(2));
  t.notOk(
    neighbour.theyShare(digestOfNumber(1)),
    'however many blobs one handle was given to, one is remembered',
  );
  t.notOk(neighbour.sharesWithUs(digestOfNumber(1)));
});

t.test('a blob that is opened under another handle is the same blob', async (t) => {
  const { neighbour, open } = setup();
  open(1, 1);
  open(2, 1);
  t.equal(neighbour.theirHandle(digestOfNumber(1)), 2);
  t.equal(neighbour.theirBlob(1), undefined);
  open(2, 1);
  t.equal(neighbour.theirBlob(2)?.digest, digestOfNumber(1), 'said twice, it stays');
});

t.test('blobs beyond the most that one neighbour may share are ignored', async (t) => {
  const { neighbour, open } = setup();
  for (let number = 0; number <= 4096; number++) open(number, number);
  t.ok(neighbour.theyShare(digestOfNumber(4095)));
  t.notOk(neighbour.theyShare(digestOfNumber(4096)));
});

t.test('a blob that both share in other pieces is not the same blob', async (t) => {
  const { neighbour, open } = setup();
  const info = { digest: digestOfNumber(1), size: 10, pieceBytes: 5 };
  open(1, 1);
  neighbour.openOurs(7, info);
  t.notOk(neighbour.meet(info));
  t.equal(
    blobMeant(neighbour, 1, () => ({ info })),
    undefined,
  );
  const alike = { info: { ...info, pieceBytes: 10 } };
  t.equal(
    blobMeant(neighbour, 1, () => alike),
    alike,
  );
});
