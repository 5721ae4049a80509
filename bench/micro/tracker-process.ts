import { join } from 'node:path';
import { type Child, jsonReady, startChild } from '../fixtures/child.ts';

const ROOT = join(import.meta.dirname, '..', '..');

interface TrackerReady {
  readonly listen: string;
}

/** A tracker as operators start it, in a process of its own. */
export function startTracker(folder: string, signal: AbortSignal): Promise<Child<TrackerReady>> {
  return startChild<TrackerReady>({
    command: process.execPath,
    args: [
      ...[join(ROOT, 'damselfly', 'main.js'), 'tracker', '--json', '--insecure', '--log-level', 'warn'],
      ...['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0', '--udp-listen', 'off'],
    ],
    logFile: join(folder, 'tracker.log'),
    ready: jsonReady('tracker'),
    signal,
  });
}

/** Where members connect. */
export function controlUrl({ ready }: Child<TrackerReady>): string {
  return `ws://${ready.listen}/control`;
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
