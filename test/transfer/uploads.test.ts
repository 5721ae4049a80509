import t from 'tap';
import { pieceLength, pieceOffset } from '../../lib/core/geometry.ts';
import { createMetrics } from '../../lib/observe/metrics.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { Uploads } from '../../lib/transfer/peers/uploads.ts';
import type { PieceAdmission } from '../../lib/transfer/seams.ts';
import { writePieces } from '../store/sample-blob.ts';
import { sharedSample } from './shared-sample.ts';

type Serve = Extract<PieceAdmission, { kind: 'serve' }>;

/** A node with two upload slots, and one neighbour that asks it for the pieces of a blob. */
async function setUp() {
  const clock = new FakeClock();
  const { blob, sample, stored } = await sharedSample(clock);
  await writePieces(stored, sample, [0, 1, 2, 3]);
  const peer = { id: 'a'.repeat(40), role: 'node', host: 'a', port: 1, zone: '' } as const;
  const neighbour = new Neighbour(peer, () => {});
  const state = { free: 2 };
  const uploads = new Uploads(
    { clock, metrics: createMetrics({ defaults: false }) },
    {
      neighbour: () => neighbour,
      blob: () => blob,
      admit: () => state.free > 0 && state.free-- > 0,
      freeSlots: () => state.free,
      ended: () => void state.free++,
    },
  );
  const ask = (piece: number): PieceAdmission => {
    const start = pieceOffset(blob.info, piece);
    const range = { start, end: start + pieceLength(blob.info, piece) };
    return uploads.answer({ from: peer.id, digest: blob.digest, range });
  };
  const serve = (piece: number): Serve => {
    const admission = ask(piece);
    if (admission.kind !== 'serve') throw new Error(`${admission.kind} instead of a piece`);
    return admission;
  };
  return { ask, neighbour, serve, state, uploads };
}

t.test('an idle upload gives its slot back at once, and not again at its end', async (t) => {
  const { ask, serve, state } = await setUp();
  const [idle, busy] = [serve(0), serve(1)];
  t.same(ask(2), { kind: 'busy', freeSlots: 0 });
  idle.idle();
  t.equal(state.free, 1);
  const third = serve(2);
  idle.done(1024);
  t.equal(state.free, 0, 'it had given its slot back');
  busy.done(1024);
  third.done(1024);
  t.equal(state.free, 2);
});

t.test('what a lost neighbour still held is told once, idle uploads not among it', async (t) => {
  const { neighbour, serve, state, uploads } = await setUp();
  const [idle, busy] = [serve(0), serve(1)];
  idle.idle();
  t.equal(uploads.forget(neighbour), 1, 'the core counts one');
  busy.idle();
  busy.done(0);
  idle.done(0);
  t.equal(state.free, 1, 'the caller gives back what it was told of');
});
