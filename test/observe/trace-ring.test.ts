import t from 'tap';
import { digestOf } from '../../lib/core/digest.ts';
import type { TraceEvent } from '../../lib/observe/trace.ts';
import { TraceRing } from '../../lib/observe/trace-ring.ts';

const digest = digestOf(Buffer.from('one'));
const other = digestOf(Buffer.from('two'));
const link = (peer: string): TraceEvent => ({
  ...{ kind: 'link-up', peer, role: 'node', host: '10.0.0.1', port: 1, zone: '' },
});
const piece = (index: number, from: string, of = digest): TraceEvent => ({
  ...{ kind: 'piece', digest: of, index, source: 'peer', bytes: 1, generation: 'g', from },
});

t.test('the last events in order; older ones make room and are counted', async (t) => {
  const ring = new TraceRing({ events: 3 });
  for (let index = 0; index < 3; index++) ring.note(index, piece(index, 'a'));
  t.equal(ring.lost, 0);
  t.same(
    ring.read().map(({ atMs }) => atMs),
    [0, 1, 2],
  );
  for (let index = 3; index < 5; index++) ring.note(index, piece(index, 'a'));
  t.equal(ring.lost, 2);
  t.same(
    ring.read().map(({ atMs }) => atMs),
    [2, 3, 4],
  );
});

t.test('of some blobs: their events, and who the peers are that they name', async (t) => {
  const ring = new TraceRing({ events: 3 });
  for (const peer of ['a', 'b', 'c']) ring.note(0, link(peer));
  ring.note(1, piece(0, 'a'));
  ring.note(2, piece(0, 'b', other));
  ring.note(3, { kind: 'blob-complete', digest });
  t.match(ring.read(new Set([digest])), [
    { kind: 'link-up', peer: 'a' },
    { kind: 'piece', from: 'a' },
    { kind: 'blob-complete' },
  ]);
  t.equal(ring.read(new Set([digest])).length, 3);
});
