import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../bench/fixtures/child.ts';
import { removeNetwork } from '../../../bench/fixtures/network.ts';
import { containersStorage } from '../clients/containers-image.ts';
import { unmountBelow } from '../clients/unmount.ts';

const PREFIX = 'damselfly-pods-';
const OWNER = 'owner';
/** Of all containers that tests run as pods. */
export const LABEL = 'io.damselfly.test=pod';

/** A new folder for a run of pods; those of runs that were killed go, with their containers and networks. */
export async function makePodsFolder(): Promise<string> {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(tmpdir(), name);
    const owner = ownerOf(folder);
    if (owner !== undefined && !isAlive(owner)) await removePods(folder, owner);
  }
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  writeFileSync(join(folder, OWNER), String(process.pid));
  return folder;
}

/** Removes all that is left of a run. @param owner the process whose it was */
export async function removePods(folder: string, owner: number): Promise<void> {
  await mkdir(join(folder, 'podman'), { recursive: true });
  const env = await containersStorage(join(folder, 'podman'));
  const { stdout } = await run('podman', ['ps', '--all', '--quiet', '--filter', `label=${LABEL}`], { env });
  const containers = stdout.split('\n').filter((id) => id !== '');
  if (containers.length > 0) await run('podman', ['rm', '--force', '--time', '0', ...containers], { env });
  await removeNetwork(owner);
  await unmountBelow(folder);
  rmSync(folder, { recursive: true, force: true });
}

function ownerOf(folder: string): number | undefined {
  try {
    return Number(readFileSync(join(folder, OWNER), 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
