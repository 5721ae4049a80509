import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import { blobInfo } from '../../lib/core/geometry.ts';
import type { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { Ownership } from '../../lib/transfer/seed/ownership.ts';

const INFO = blobInfo(digestOf(Buffer.from('a blob'), 'sha256'), 200 * 1024 * 1024);
const ALL = Array.from({ length: INFO.pieces }, (_, piece) => piece);

function member(id: string, zone: string) {
  return { id, zone, host: '10.0.0.1', port: 1, role: 'supernode' } as const;
}

const reader = member('r', 'us');
const [a, b] = [member('a', 'eu'), member('b', 'eu')];
const TOLD = [...Array.from({ length: 6 }, () => reader), a, b, a, b, a, b];

t.test('what a gateway cannot bring another one of its site brings', async (t) => {
  const lost = new Set<string>();
  const ownership = new Ownership(
    INFO,
    () => b,
    (id) => lost.has(id),
  );
  ownership.named(TOLD);
  const brings = (): number => ALL.filter((piece) => ownership.brings(piece)).length;
  const half = brings();
  t.ok(half > 0 && half < INFO.pieces, `${half}`);
  ownership.failed('a');
  t.equal(brings(), INFO.pieces, 'it said so');
  ownership.recovered('a');
  t.equal(brings(), half, 'it is back');
  lost.add('a');
  t.equal(brings(), INFO.pieces, 'it is gone, and no tracker deals its turns');
  t.notOk(
    ALL.some((piece) => ownership.mine(piece)),
    'the reader is there',
  );
  lost.add('r');
  t.ok(
    ALL.every((piece) => ownership.mine(piece)),
    'and is gone too',
  );
});

t.test('what its site has a gateway waits for, rather than bring it over the border again', async (t) => {
  const ownership = new Ownership(
    INFO,
    () => b,
    () => false,
  );
  ownership.named(TOLD);
  // Of a neighbour only who it is counts here.
  const [near, far] = [{ peer: a } as Neighbour, { peer: reader } as Neighbour];
  const piece = ALL.find((each) => ownership.brings(each)) ?? -1;
  ownership.heldBy(far).set(piece);
  t.equal(
    ownership.bringer(piece, () => true),
    far,
  );
  ownership.heldBy(near).set(piece);
  t.equal(
    ownership.bringer(piece, () => true),
    near,
  );
  t.equal(
    ownership.bringer(piece, (from) => from !== near),
    undefined,
    'it is busy',
  );
  ownership.left(near);
  t.equal(
    ownership.bringer(piece, () => true),
    far,
    'it is gone',
  );
});
