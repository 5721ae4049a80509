import t from 'tap';
import { createBufferPool } from '../../lib/transfer/buffer-pool.ts';
import { NEVER } from '../contract/peer-network-parts.ts';

const MIB = 1024 * 1024;

t.test('a larger budget serves who waits', async (t) => {
  const pool = createBufferPool({ budgetBytes: 16 * MIB });
  const first = await pool.acquire(16 * MIB, NEVER);
  const second = pool.acquire(8 * MIB, NEVER);
  t.equal(pool.waiting, 1);
  pool.resize(24 * MIB);
  t.equal((await second).bytes.length, 8 * MIB);
  t.equal(pool.tryAcquire(MIB), undefined, 'and no more');
  first.release();
});

t.test('a smaller budget holds for all that is handed out from then on', async (t) => {
  const pool = createBufferPool({ budgetBytes: 64 * MIB });
  const held = await Promise.all(Array.from({ length: 8 }, () => pool.acquire(8 * MIB, NEVER)));
  pool.resize(32 * MIB);
  t.equal(pool.usedBytes, 64 * MIB, 'nothing is taken from who has it');
  for (const buffer of held.slice(0, 4)) buffer.release();
  t.equal(pool.tryAcquire(8 * MIB), undefined);
  held[4]?.release();
  t.ok(pool.tryAcquire(8 * MIB));
  t.equal(pool.tryAcquire(8 * MIB), undefined);
});

t.test('memory that was not asked for from one trim to the next goes back to the system', async (t) => {
  const pool = createBufferPool({ budgetBytes: 64 * MIB });
  const take = (count: number) =>
    Promise.all(Array.from({ length: count }, () => pool.acquire(4 * MIB, NEVER)));
  const burst = await take(8);
  const memory = new Set(burst.map(({ bytes }) => bytes.buffer));
  for (const buffer of burst) buffer.release();
  t.equal(pool.trim(), 0, 'all of it was used a moment ago');
  for (const buffer of await take(3)) buffer.release();
  t.equal(pool.trim(), 5, 'three were used at once');
  const again = await take(4);
  t.equal(again.filter(({ bytes }) => memory.has(bytes.buffer)).length, 3, 'those are kept');
  for (const buffer of again) buffer.release();
  pool.trim();
  t.equal(pool.trim(), 4, 'in the end none');
});

t.test('it never falls below the largest piece', async (t) => {
  const pool = createBufferPool({ budgetBytes: 64 * MIB });
  pool.resize(1);
  t.ok(pool.tryAcquire(16 * MIB));
  t.equal(pool.tryAcquire(64 * 1024), undefined);
});
