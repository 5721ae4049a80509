import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** The most memory that a process had at any time, in MiB; waits for its end. */
export async function peakMemory(child: ChildProcess): Promise<number> {
  let peakMib = 0;
  let gone = false;
  const closed = once(child, 'close').then(() => {
    gone = true;
  });
  while (!gone) {
    try {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
      peakMib = Math.max(peakMib, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024);
    } catch {
      // It has just ended.
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await closed;
  return peakMib;
}
