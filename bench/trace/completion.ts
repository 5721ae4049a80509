import type { PullBegin, TraceLine } from '../../lib/observe/trace.ts';
import type { Step } from '../simulate/plot/curve.ts';
import type { TracedProcess } from './read-trace.ts';

/** How what the clients of some processes pulled came in. */
export interface Completion {
  /** Processes that had a client. */
  readonly processes: number;
  /** Bytes that their clients asked for, all together. */
  readonly bytes: number;
  /** Share of them that is here, over the time since the first pull of each process. */
  readonly steps: readonly Step[];
}

type Begin = PullBegin & { readonly atMs: number };

/** So many steps are as many as can be seen. */
const MAX_STEPS = 400;

interface Landed {
  readonly seconds: number;
  readonly bytes: number;
}

/** The first pull of each blob on each process, all together. */
export function completionOf(processes: readonly TracedProcess[]): Completion {
  const pulled = processes.map(({ lines }) => landedOf(lines)).filter(({ bytes }) => bytes > 0);
  const bytes = pulled.reduce((sum, each) => sum + each.bytes, 0);
  const landed = pulled.flatMap((each) => each.landed).sort((a, b) => a.seconds - b.seconds);
  let here = 0;
  const all = landed.map((each): Step => {
    here += each.bytes;
    return { seconds: each.seconds, share: here / bytes };
  });
  const every = Math.ceil(all.length / MAX_STEPS);
  // Of the steps that are left out the last one stands for all: no byte is shown before it is here.
  const steps = all.filter((_, index) => (index + 1) % every === 0 || index === all.length - 1);
  return { processes: pulled.length, bytes, steps };
}

function landedOf(lines: readonly TraceLine[]): {
  readonly bytes: number;
  readonly landed: readonly Landed[];
} {
  const pulls = new Map<string, Begin>();
  for (const line of lines) if (line.kind === 'pull' && !pulls.has(line.digest)) pulls.set(line.digest, line);
  const beganMs = Math.min(...[...pulls.values()].map(({ askedMs }) => askedMs));
  const seen = new Set<string>();
  const landed: Landed[] = [];
  const land = (atMs: number, bytes: number): void => {
    if (bytes > 0) landed.push({ seconds: Math.max(0, atMs - beganMs) / 1000, bytes });
  };
  for (const line of lines) {
    const pull = 'digest' in line ? pulls.get(line.digest) : undefined;
    if (pull === undefined) continue;
    if (line.kind === 'piece' && !seen.has(`${line.digest} ${line.index}`)) {
      // One that was dropped and fetched again came once.
      seen.add(`${line.digest} ${line.index}`);
      land(line.atMs, line.bytes);
    } else if (line.kind === 'pull-end' && line.pull === pull.pull) {
      land(pull.atMs, piecesBefore(lines, pull) > 0 ? 0 : line.hereBytes);
      land(line.atMs, line.directBytes);
    }
  }
  return { bytes: [...pulls.values()].reduce((sum, { size }) => sum + size, 0), landed };
}

/** Pieces of the blob that came before its first client: they are in the trace, and need not be counted as held. */
function piecesBefore(lines: readonly TraceLine[], pull: Begin): number {
  const begin = lines.indexOf(pull);
  return lines.slice(0, begin).filter((line) => line.kind === 'piece' && line.digest === pull.digest).length;
}
