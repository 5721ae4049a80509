import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, startChild } from '../../bench/fixtures/child.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { BACKGROUND } from '../../lib/transfer/limits.ts';

const DFGET = join(import.meta.dirname, '..', '..', 'bin', 'dfget');

interface Ready {
  readonly pid: number;
  readonly admin: string;
}

/** Nice value of each thread of a process. */
function nices(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // After the command in parentheses, which may hold spaces: fields 3 on; nice is 19.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

t.test('a daemon in the background lets every other process go first, and tells its limits', async (t) => {
  // Not tap's folder: its name is too long for a socket.
  const temporary = await tempFolder('background');
  t.teardown(() => temporary[Symbol.asyncDispose]());
  const folder = temporary.path;
  const free = '127.0.0.1:0';
  const daemon = await startChild<Ready>({
    command: DFGET,
    args: [
      ...[
        'daemon',
        '--background',
        '--download-rate',
        '50MB/s',
        '--json',
        '--insecure',
        '--log-level',
        'warn',
      ],
      ...['--proxy-listen', free, '--peer-listen', free, '--admin-listen', free],
      ...['--data-dir', join(folder, 'data'), '--socket', join(folder, 'socket')],
    ],
    logFile: join(folder, 'log'),
    ready: jsonReady('daemon'),
  });
  t.teardown(() => daemon.stop());
  const all = nices(daemon.ready.pid);
  t.ok(all.length > 4, `${all.length} threads`);
  t.ok(
    all.every((nice) => nice === 19),
    `nice ${all.join(' ')}`,
  );
  const response = await fetch(`http://${daemon.ready.admin}/v1/limits`);
  const { maxConnections, uploadRate } = BACKGROUND;
  t.same(await response.json(), {
    ...{ uploadRate, downloadRate: 50e6, maxConnections },
    ...{ registryRate: 'none', borderRate: 'none' },
  });
});
