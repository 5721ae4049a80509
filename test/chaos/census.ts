import { readdir, readFile, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './machine.ts';

/** What a process holds. */
export interface Holdings {
  readonly files: number;
  /** Of the files. */
  readonly sockets: number;
  readonly rssBytes: number;
}

/** By the machine's name and its start: after a restart it is another process. */
export type Census = ReadonlyMap<string, Holdings>;

/** Connections for pieces are closed when they were idle for 30 s, and links that nobody needs any more a little later. */
const SETTLE_MS = 40_000;
const POLL_MS = 500;
/** Connections that one pull happens to leave open and another does not: links to neighbours, kept ones to the registry. */
const SPARE_FILES = 24;
/** What is garbage, buffers that are lent out again, and a DHT that was joined: V8 gives memory back late. */
const SPARE_RSS_RATIO = 1.25;
const SPARE_RSS_BYTES = 192 * 1024 * 1024;

export async function takeCensus(machines: readonly Machine[]): Promise<Census> {
  const up = machines.filter(({ isUp }) => isUp);
  const entries = await Promise.all(
    up.map(async (machine) => [keyOf(machine), await holdingsOf(machine.pid)] as const),
  );
  return new Map(entries);
}

/** @returns what holds more than it did before, once idle things had time to go */
export async function findLeaks(
  machines: readonly Machine[],
  before: Census,
  signal: AbortSignal,
): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const leaks = leaksBetween(before, await takeCensus(machines));
    if (leaks.length === 0 || performance.now() > deadline) return leaks;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Processes that are new since, or gone, are not compared. */
export function leaksBetween(before: Census, after: Census): string[] {
  return [...after].flatMap(([name, now]) => {
    const then = before.get(name);
    if (then === undefined) return [];
    const found: string[] = [];
    if (now.files > then.files + SPARE_FILES) {
      found.push(`${name}: ${then.files} open files before, ${now.files} after (${now.sockets} sockets)`);
    }
    if (now.rssBytes > then.rssBytes * SPARE_RSS_RATIO + SPARE_RSS_BYTES) {
      found.push(`${name}: ${mib(then.rssBytes)} MiB resident before, ${mib(now.rssBytes)} after`);
    }
    return found;
  });
}

function keyOf(machine: Machine): string {
  return machine.starts === 1 ? machine.name : `${machine.name} (start ${machine.starts})`;
}

async function holdingsOf(pid: number): Promise<Holdings> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  // A file may be closed between the listing and the look at it.
  const targets = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => '')));
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return {
    files: names.length,
    sockets: targets.filter((target) => target.startsWith('socket:')).length,
    rssBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024,
  };
}

function mib(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
