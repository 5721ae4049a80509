import { readdir, readFile } from 'node:fs/promises';
import { run } from '../../bench/fixtures/child.ts';
import type { World } from './world.ts';

/** What is still there although all processes were told to end: each a sentence. */
export async function findRemains(world: World): Promise<string[]> {
  const inNamespaces = await Promise.all(
    world.machines.map(async ({ name, spec }) => {
      const { stdout } = await run('ip', ['netns', 'pids', spec.place.namespace]);
      return stdout
        .trim()
        .split('\n')
        .filter((pid) => pid !== '')
        .map((pid) => `process ${pid} still runs on ${name}`);
    }),
  );
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${world.folder}/`))
    .map((point) => `${point} is still mounted`);
  return [...inNamespaces.flat(), ...(await processesNaming(world.folder)), ...mounts];
}

/** Namespaces and links of this process that are left once the network was removed. */
export async function findLeftLinks(world: World): Promise<string[]> {
  const { stdout: namespaces } = await run('ip', ['netns', 'list']);
  return world.machines
    .map(({ spec }) => spec.place.namespace)
    .filter((name) => new RegExp(`^${name}\\b`, 'm').test(namespaces))
    .map((name) => `namespace ${name} is left`);
}

/** Whatever a client or a daemon has started has the folder of the run on its command line. */
async function processesNaming(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return line.includes(`${folder}/`) && !line.includes('registry-relay-main') ? `${pid}: ${line}` : '';
    }),
  );
  return lines.filter((line) => line !== '').map((line) => `process ${line.replaceAll('\0', ' ').trim()}`);
}
