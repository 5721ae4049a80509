import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { World } from './world.ts';

const FOLDER = join(import.meta.dirname, '..', '..', '.bench', 'chaos-logs');

/** Keeps the logs of a run that did not hold: the world goes away with all that it has on disk. */
export async function keepLogs(world: World, name: string, say: (text: string) => void): Promise<void> {
  const to = join(FOLDER, name);
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  const logs = (await readdir(world.folder)).filter((file) => file.endsWith('.log'));
  await Promise.all(logs.map((log) => cp(join(world.folder, log), join(to, log))));
  say(`  logs: .bench/chaos-logs/${name}`);
}
