import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TlsKeys } from '../../lib/security/system/mutual-tls.ts';
import { type Child, jsonReady, startChild } from '../fixtures/child.ts';

const ROOT = join(import.meta.dirname, '..', '..');

interface TrackerReady {
  readonly listen: string;
}

/** A tracker as operators start it, in a process of its own. @param keys of a tracker; without them its ports are plain */
export async function startTracker(
  folder: string,
  signal: AbortSignal,
  keys?: TlsKeys,
): Promise<Child<TrackerReady>> {
  return await startChild<TrackerReady>({
    command: process.execPath,
    args: [
      ...[join(ROOT, 'damselfly', 'main.js'), 'tracker', '--json', '--log-level', 'warn'],
      ...(keys === undefined ? ['--insecure'] : await keyFlags(folder, keys)),
      ...['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
      ...['--data-dir', join(folder, 'tracker')],
    ],
    logFile: join(folder, 'tracker.log'),
    ready: jsonReady('tracker'),
    signal,
  });
}

async function keyFlags(folder: string, { ca, cert, key }: TlsKeys): Promise<string[]> {
  const flags: string[] = [];
  for (const [name, pem] of Object.entries({ ca, cert, key })) {
    const file = join(folder, `tracker-${name}.pem`);
    await writeFile(file, pem, { mode: 0o600 });
    flags.push(`--tls-${name}`, file);
  }
  return flags;
}

/** Where members connect. */
export function controlUrl({ ready }: Child<TrackerReady>, scheme: 'ws' | 'wss' = 'ws'): string {
  return `${scheme}://${ready.listen}/control`;
}

/** The stock server of the bittorrent-tracker package, in a process of its own. */
export function startStockTracker(
  folder: string,
  signal: AbortSignal,
): Promise<Child<{ readonly port: number }>> {
  return startChild({
    command: process.execPath,
    args: [join(import.meta.dirname, 'stock-tracker-main.ts')],
    logFile: join(folder, 'stock-tracker.log'),
    ready: jsonReady('stock-tracker'),
    signal,
  });
}
