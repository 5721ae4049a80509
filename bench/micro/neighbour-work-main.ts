import { createHash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

// Work that pays: hashes, and writes files that must be on disk before it goes on. Prints the seconds that it took.

const FILE_BYTES = 4 * 1024 * 1024;
/** About as much time goes into hashing as an idle disk needs for one file. */
const HASHES_PER_FILE = 8;

const { values } = parseArgs({ options: { folder: { type: 'string' }, files: { type: 'string' } } });
const { folder = '', files = '0' } = values;
const bytes = Buffer.alloc(FILE_BYTES, process.pid.toString());
const startedMs = performance.now();
for (let file = 0; file < Number(files); file++) {
  for (let pass = 0; pass < HASHES_PER_FILE; pass++) {
    bytes.set(createHash('sha256').update(bytes).digest(), pass * 32);
  }
  const path = join(folder, `${process.pid}.${file % 4}`);
  const handle = await open(path, 'w');
  await handle.write(bytes);
  await handle.sync();
  await handle.close();
}
process.stdout.write(`${(performance.now() - startedMs) / 1000}\n`);
for (let at = 0; at < 4; at++) await rm(join(folder, `${process.pid}.${at}`), { force: true });
