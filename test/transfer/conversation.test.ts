import t from 'tap';
import { silentLog } from '../../lib/observe/log.ts';
import { FakeClock } from '../../lib/runtime/fake-clock.ts';
import { createRng } from '../../lib/runtime/rng.ts';
import { openBlobStore } from '../../lib/store/blob-store.ts';
import { createMemoryDisk } from '../../lib/store/disk/memory-disk.ts';
import { createMemoryKeyValue } from '../../lib/store/key-value/memory-key-value.ts';
import { SharedBlob } from '../../lib/transfer/blobs/shared-blob.ts';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { Conversation } from '../../lib/transfer/peers/conversation.ts';
import { Neighbour } from '../../lib/transfer/peers/neighbour.ts';
import { ProofTeller } from '../../lib/transfer/proofs/proof-teller.ts';
import { sampleBlob, writePieces } from '../store/sample-blob.ts';

const PIECES = 8;
const SLOTS = { up: 1, down: 1 };

/** A node that holds eight pieces of each of two blobs and has one neighbour, who wants both. */
async function setUp() {
  const clock = new FakeClock();
  const log = silentLog();
  const pool = createBufferPool({ budgetBytes: 1 << 20 });
  const parts = { disk: createMemoryDisk(), keyValue: createMemoryKeyValue(), log, clock, folder: '/n' };
  const store = await openBlobStore({ ...parts, wallClockMs: () => 0 });
  const blobs: SharedBlob[] = [];
  for (const handle of [1, 2]) {
    const sample = sampleBlob(handle, PIECES * 1024);
    const stored = await store.create(sample.info);
    await writePieces(stored, sample, [...Array(PIECES).keys()]);
    blobs.push(new SharedBlob(stored, pool, handle, handle, 0));
  }
  const news: [atMs: number, handle: number, pieces: number[]][] = [];
  const peer = { id: 'a'.repeat(40), role: 'node', host: 'a', port: 1, zone: '' } as const;
  const neighbour = new Neighbour(peer, (message) => {
    if (message.type !== 'have') return;
    news.push([clock.now(), message.handle, message.proofs.map(({ index }) => index)]);
  });
  for (const { handle, info } of blobs) {
    neighbour.noteOpen(handle, info);
    neighbour.openOurs(handle, info);
    neighbour.meet(info);
  }
  const conversation = new Conversation(
    { clock, log },
    {
      proofs: new ProofTeller({ self: () => ({ id: 'b'.repeat(40) }), rng: createRng(1) }),
      showRight: () => {},
      slots: () => SLOTS,
      decide: () => {},
      neighbours: () => [neighbour],
      isCurrent: () => true,
      blob: () => undefined,
      blobs: () => blobs,
      recall: async () => undefined,
      supernodeFailed: () => {},
      disown: () => {},
      discoveryReachable: () => true,
    },
  );
  const [blob, other] = blobs;
  if (blob === undefined || other === undefined) throw new Error('no blobs');
  const runTo = (ms: number): void => {
    while (clock.advanceToNext(ms));
  };
  return { blob, other, neighbour, conversation, news, runTo };
}

t.test(
  'the first news goes out at once, what follows within 10 ms goes out when they are over',
  async (t) => {
    const { blob, conversation, news, runTo } = await setUp();
    runTo(100);
    conversation.queueHave(blob, 0);
    t.same(news, [[100, 1, [0]]], 'at once');
    runTo(103);
    conversation.queueHave(blob, 1);
    runTo(109);
    conversation.queueHave(blob, 2);
    t.equal(news.length, 1, 'within the pause nothing is said');
    runTo(110);
    t.same(news[1], [110, 1, [1, 2]], 'one message for what came meanwhile');
    runTo(119);
    conversation.queueHave(blob, 3);
    runTo(130);
    t.same(news[2], [120, 1, [3]], 'the pause counts from the last message');
    conversation.queueHave(blob, 4);
    t.same(news[3], [130, 1, [4]], 'after a pause at once again');
    runTo(1000);
    t.equal(news.length, 4, 'nothing is told twice');
  },
);

t.test('news of one blob does not keep that of another waiting', async (t) => {
  const { blob, conversation, news, other } = await setUp();
  conversation.queueHave(blob, 0);
  conversation.queueHave(other, 5);
  t.same(news, [
    [0, 1, [0]],
    [0, 2, [5]],
  ]);
});

t.test('nobody hears news of a blob that was closed meanwhile', async (t) => {
  const { blob, conversation, neighbour, news, other, runTo } = await setUp();
  for (const each of [blob, other]) {
    conversation.queueHave(each, 0);
    conversation.queueHave(each, 1);
  }
  neighbour.closeOurs(blob.handle, blob.digest);
  other.retired = true;
  runTo(1000);
  t.equal(news.length, 2);
});
