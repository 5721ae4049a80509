import t from 'tap';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { ChunkMemory } from '../../lib/transfer/chunk-memory.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

t.test('chunks are small until a client has taken a MiB, then as large as can be', async (t) => {
  const pool = createBufferPool({ budgetBytes: 64 * MIB });
  const memory = new ChunkMemory(pool, { start: 5, end: 5 + 20 * MIB });
  t.equal(memory.at(5).length, 64 * KIB);
  t.equal(memory.at(5 + 960 * KIB).length, 64 * KIB);
  t.equal(memory.at(5 + MIB).length, 8 * MIB);
  t.equal(pool.usedBytes, 8 * MIB, 'the small one was given back');
  t.equal(memory.at(5 + 17 * MIB).length, 8 * MIB);
  memory.release();
  t.equal(pool.usedBytes, 0);
});

t.test('a short range takes no more than it has', async (t) => {
  const pool = createBufferPool({ budgetBytes: 64 * MIB });
  t.equal(new ChunkMemory(pool, { start: 0, end: 100 }).at(0).length, 100);
});

t.test('a thousand clients that take nothing leave large chunks to those that do', async (t) => {
  const pool = createBufferPool({ budgetBytes: 256 * MIB });
  const range = { start: 0, end: 64 * MIB };
  const still = Array.from({ length: 1000 }, () => new ChunkMemory(pool, range));
  for (const memory of still) memory.at(0);
  t.equal(new ChunkMemory(pool, range).at(MIB).length, 8 * MIB);
});

t.test('who got little asks again, and not for every chunk', async (t) => {
  const pool = createBufferPool({ budgetBytes: 16 * MIB });
  const range = { start: 0, end: 64 * MIB };
  const other = pool.lend(8 * MIB);
  const memory = new ChunkMemory(pool, range);
  t.equal(memory.at(MIB).length, 64 * KIB, 'no more than half of the budget is lent');
  other.release();
  t.equal(memory.at(MIB + 64 * KIB).length, 64 * KIB);
  t.equal(memory.at(2 * MIB).length, 8 * MIB);
});
