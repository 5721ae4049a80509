import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../bench/fixtures/child.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { createStage } from '../helpers/stage.ts';

const MIB = 1024 * 1024;
const BIN = join(import.meta.dirname, '..', '..', 'bin');
const FREE = ['--insecure', '--proxy-listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'];
const DEADLINE_MS = 15_000;

/** A daemon that should end by itself. */
function daemon(folder: string, ...flags: string[]): ReturnType<typeof run> {
  const admin = ['--admin-listen', '127.0.0.1:0', '--socket', join(folder, 'socket')];
  return run(join(BIN, 'dfget'), ['daemon', ...FREE, ...admin, ...flags], { timeoutMs: DEADLINE_MS });
}

t.test('a data directory that cannot be used ends the daemon with a code that says why', async (t) => {
  await using folder = await tempFolder('data-dir');
  const { path } = folder;
  await writeFile(join(path, 'version'), '99\n');
  const version = await daemon(path, '--data-dir', path);
  t.equal(version.code, 1);
  t.match(version.output, /^STORE_VERSION: .*layout 99.*--data-dir/m);
  const file = await daemon(path, '--data-dir', join(path, 'version'));
  t.equal(file.code, 1);
  t.match(file.output, /^STORE_FAILED: .*version/m);
  const twice = await daemon(path, '--data-dir', `${path}/a`, '--data-dir', `${path}/b/../a=3`);
  t.equal(twice.code, 2);
  t.match(twice.output, /^CONFIG_INVALID: --data-dir: .* is given twice/m);
  const marks = await daemon(path, '--data-dir', `${path}/a`, '--store-low', '95%');
  t.equal(marks.code, 2);
  t.match(marks.output, /^CONFIG_INVALID: --store-low/m);
});

const skip = skipReason({ programs: ['docker-registry'] });
t.test('a second daemon on the data directory of a running one is refused', { skip }, async (t) => {
  await using stage = await createStage('locked', { image: { totalBytes: MIB, layers: 1 } });
  const cluster = await stage.startCluster({ nodes: 1, supernodes: 0 });
  const second = await daemon(stage.folder, '--data-dir', join(stage.folder, 'node0'));
  t.equal(second.code, 1);
  t.match(second.output, /^STORE_LOCKED: .*--data-dir/m);
  t.equal(cluster.daemons[0]?.running, true);
});
