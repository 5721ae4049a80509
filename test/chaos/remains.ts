import { readdir, readFile } from 'node:fs/promises';
import { run } from '../../bench/fixtures/child.ts';
import type { World } from './world.ts';

/** Once all machines were told to end: what still runs on them, each a sentence. */
export async function findSurvivors(world: World): Promise<string[]> {
  const each = await Promise.all(
    world.machines.map(async ({ name, spec }) => {
      const { stdout } = await run('ip', ['netns', 'pids', spec.place.namespace]);
      const pids = stdout.split('\n').filter((pid) => pid !== '');
      return pids.map((pid) => `process ${pid} still runs on ${name}`);
    }),
  );
  return each.flat();
}

/** Once a world has gone: namespaces, mounts and processes that are left of it, each a sentence. */
export async function findRemains(world: World): Promise<string[]> {
  const { stdout: namespaces } = await run('ip', ['netns', 'list']);
  const names = namespaces.split('\n').map((line) => line.split(' ')[0]);
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${world.folder}/`));
  return [
    ...world.network.nodes
      .filter(({ namespace }) => names.includes(namespace))
      .map(({ namespace }) => `namespace ${namespace} is left`),
    ...mounts.map((point) => `${point} is still mounted`),
    ...(await processesNaming(world.folder)),
  ];
}

/** Whatever a client or a daemon has started has the folder of the run on its command line. */
async function processesNaming(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return line.includes(`${folder}/`)
        ? [`process ${pid} is left: ${line.replaceAll('\0', ' ').trim()}`]
        : [];
    }),
  );
  return lines.flat();
}
