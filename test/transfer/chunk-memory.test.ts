import t from 'tap';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { ChunkMemory } from '../../lib/transfer/chunk-memory.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const RANGE = { start: 0, end: 64 * MIB };

t.test('chunks are as large as can be, and no larger than what is left of the range', async (t) => {
  const pool = createBufferPool({ budgetBytes: 256 * MIB });
  const memory = new ChunkMemory(pool, RANGE);
  t.equal(memory.at(0).length, 8 * MIB);
  t.equal(memory.at(60 * MIB).length, 8 * MIB);
  memory.release();
  t.equal(pool.usedBytes, 0);
  t.equal(new ChunkMemory(pool, { start: 0, end: 100 }).at(0).length, 100);
});

t.test('case 54: a thousand clients that take nothing leave large chunks to whoever reads', async (t) => {
  const pool = createBufferPool({ budgetBytes: 256 * MIB });
  const still = Array.from({ length: 1000 }, () => new ChunkMemory(pool, RANGE));
  for (const memory of still) memory.at(4 * MIB);
  t.equal(pool.usedBytes, 128 * MIB, 'they sit on half of the memory');
  const reader = new ChunkMemory(pool, RANGE);
  t.equal(reader.at(0).length, 64 * KIB);
  t.equal(
    reader.at(4 * MIB).length,
    64 * KIB,
    'so much the others have taken too, as far as anybody can tell',
  );
  t.equal(reader.at(5 * MIB).length, 8 * MIB);
  t.ok(pool.tryAcquire(16 * MIB), 'and what arrives finds room');
  reader.release();
  t.equal(pool.usedBytes, (128 + 16) * MIB);
});

t.test('who got little asks again, and not for every chunk', async (t) => {
  const pool = createBufferPool({ budgetBytes: 16 * MIB });
  const others = [pool.lend(8 * MIB), pool.lend(4 * MIB, { reads: true })];
  const memory = new ChunkMemory(pool, RANGE);
  t.equal(memory.at(5 * MIB).length, 64 * KIB, 'no more than three quarters of the budget is lent');
  for (const other of others) other.release();
  t.equal(memory.at(6 * MIB).length, 64 * KIB);
  t.equal(memory.at(10 * MIB).length, 8 * MIB);
});
