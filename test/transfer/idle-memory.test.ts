import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const ROOT = join(import.meta.dirname, '..', '..');
const MIB = 1024 * 1024;

/** Takes pieces from a pool twice, as two pulls do, gives them back and trims; tells its resident memory around that. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
import { createBufferPool } from ${JSON.stringify(join(ROOT, 'lib/transfer/buffer-pool.ts'))};

const resident = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const pool = createBufferPool({ budgetBytes: 96 * ${MIB} });
const smaller = [];
let most = 0;
for (let pull = 0; pull < 2; pull++) {
  const taken = [];
  for (let piece = pool.tryAcquire(${MIB}); piece !== undefined; piece = pool.tryAcquire(${MIB})) {
    piece.bytes.fill(1);
    taken.push(piece);
    // What lives longer, and lies between the pieces.
    smaller.push(Buffer.allocUnsafeSlow(30_000));
  }
  most = resident();
  for (const piece of taken) piece.release();
  pool.trim();
  pool.trim();
}
console.log(JSON.stringify({ most, left: resident(), smaller: smaller.length }));
`;

for (const command of ['dfget', 'damselfly']) {
  t.test(`memory for pieces that ${command} gives back goes back to the system`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'damselfly-memory-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    for (const each of ['bin', command]) await mkdir(join(folder, each));
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await cp(join(ROOT, 'bin', command), join(folder, 'bin', command));
    await writeFile(join(folder, command, 'package.json'), '{"type":"module"}');
    await writeFile(join(folder, command, 'main.js'), PROGRAM);
    const { stdout } = await promisify(execFile)(join(folder, 'bin', command), ['daemon']);
    const { left, most } = JSON.parse(stdout) as { left: number; most: number };
    t.ok(most - left > 64 * MIB, `${Math.round(most / MIB)} MiB, then ${Math.round(left / MIB)}`);
  });
}
