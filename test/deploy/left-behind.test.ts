import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { jsonReady, run, startChild } from '../../bench/fixtures/child.ts';
import { canCreateNetwork } from '../../bench/fixtures/network.ts';
import { tempFolder } from '../../bench/fixtures/temp-folder.ts';
import { skipReason } from '../helpers/clients/client.ts';
import { makePodsFolder } from '../helpers/kubernetes/left-behind.ts';

const skip = skipReason({ programs: ['podman', 'ip', 'tc'] }) || (!canCreateNetwork() && 'needs root');
const MAIN = join(import.meta.dirname, '..', 'helpers', 'kubernetes', 'killed-run-main.ts');

t.test('what a killed run of pods has left goes when the next one starts', { skip }, async (t) => {
  await using logs = await tempFolder('left-behind');
  const killed = await startChild<{ folder: string }>({
    ...{ command: process.execPath, args: [MAIN], logFile: join(logs.path, 'log') },
    ready: jsonReady('killed-run'),
  });
  const there = async (): Promise<boolean[]> => {
    const namespaces = (await run('ip', ['netns', 'list'])).stdout;
    const links = (await run('ip', ['-oneline', 'link', 'show'])).stdout;
    const { folder } = killed.ready;
    return [existsSync(folder), namespaces.includes(`df${killed.pid}n0`), links.includes(`df${killed.pid}`)];
  };
  const mine: string[] = [await makePodsFolder()];
  t.same(await there(), [true, true, true], 'it lives');
  await killed.kill('SIGKILL');
  mine.push(await makePodsFolder());
  t.same(await there(), [false, false, false], 'it is gone');
  for (const folder of mine) {
    t.ok(existsSync(folder), 'that of who lives stays');
    rmSync(folder, { recursive: true });
  }
});
