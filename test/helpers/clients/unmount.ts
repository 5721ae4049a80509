import { readFile } from 'node:fs/promises';
import { run } from '../../../bench/fixtures/child.ts';

/** Unmounts whatever a client has left mounted below its folder, deepest first. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${folder}/`))
    .reverse();
  for (const point of mounts) await run('umount', ['-l', point]);
}
