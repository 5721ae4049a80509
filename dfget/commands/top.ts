import { Command } from 'commander';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { parseDuration } from '../../lib/config/units.ts';
import { DamselflyError, describeError, hasCode } from '../../lib/core/errors.ts';
import { delay } from '../../lib/runtime/clock.ts';
import { createSystemClock } from '../../lib/runtime/system-clock.ts';
import type { DaemonClient } from '../daemon-client.ts';
import { drawTop, topLine } from '../top/draw.ts';
import { type Sample, type TopView, viewOf } from '../top/view.ts';
import { withDaemon } from './with-daemon.ts';

interface TopFlags {
  readonly interval: string;
  readonly count?: string;
  readonly socket: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  dfget top
  dfget top --interval 5s >> node.log
  dfget top --json --count 10

in      bytes a second that this node received, from registries (of those that it read itself), supernodes, other nodes
        and archives
out     what it sent to clients, such as the container runtime, and to other nodes
blob    those that are shared just now: how much of it is here, how fast it comes and when it is whole; readers are
        clients that read it

Ends with Ctrl-C, exit code 0. Rates are those of verified bytes since the line or picture before. All of the cluster is
on the live page of a tracker: https://TRACKER:8401/live
`;

const LEAST_INTERVAL_MS = 100;
/** What a terminal is taken for that does not say how large it is. */
const SCREEN = { columns: 80, rows: 24 };
const ENTER_SCREEN = '\x1b[?1049h\x1b[?25l';
const LEAVE_SCREEN = '\x1b[?25h\x1b[?1049l';

/** `dfget top` */
export function topCommand(): Command {
  return new Command('top')
    .description('What the node moves just now: a live picture on a terminal, else a line each time.')
    .option('--interval <time>', 'how often', '1s')
    .option('--count <number>', 'end after so many (default: never)')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object a time')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: TopFlags) => {
      await withDaemon(flags, async (client, signal) => {
        try {
          await follow(client, readTimes(flags), flags.json === true, signal);
        } catch (error) {
          // Ctrl-C is how it ends.
          if (!signal.aborted) throw error;
        }
      });
    });
}

interface Times {
  readonly intervalMs: number;
  readonly count: number;
}

/** @throws CONFIG_INVALID */
function readTimes({ count, interval }: TopFlags): Times {
  const intervalMs = parseDuration(interval);
  if (intervalMs < LEAST_INTERVAL_MS) {
    throw new DamselflyError('CONFIG_INVALID', `--interval: at least ${LEAST_INTERVAL_MS}ms`);
  }
  if (count !== undefined && !/^[1-9]\d{0,8}$/.test(count)) {
    throw new DamselflyError('CONFIG_INVALID', '--count: expected a number from 1 on');
  }
  return { intervalMs, count: count === undefined ? Number.POSITIVE_INFINITY : Number(count) };
}

async function follow(
  client: DaemonClient,
  { count, intervalMs }: Times,
  json: boolean,
  signal: AbortSignal,
): Promise<void> {
  const clock = createSystemClock();
  const isScreen = !json && process.stdout.isTTY === true;
  // Timers of the clock do not keep the process.
  const alive = setInterval(() => {}, 60_000);
  if (isScreen) process.stdout.write(ENTER_SCREEN);
  try {
    let before: Sample | undefined;
    for (let shown = 0; ; ) {
      try {
        const sample = { status: await client.status(signal), atMs: clock.now() };
        const view = viewOf(before, sample);
        if (isScreen) draw(drawTop(view, screenSize()));
        else process.stdout.write(`${json ? jsonOf(view) : topLine(view)}\n`);
        before = sample;
        if (++shown >= count) return;
      } catch (error) {
        // One that is upgraded or restarted comes back.
        if (before === undefined || signal.aborted || !hasCode(error, 'DAEMON_UNREACHABLE')) throw error;
        if (isScreen) draw([describeError(error)]);
        else process.stderr.write(`${describeError(error)}\n`);
      }
      await delay(clock, intervalMs, signal);
    }
  } finally {
    clearInterval(alive);
    if (isScreen) process.stdout.write(LEAVE_SCREEN);
  }
}

function screenSize(): { columns: number; rows: number } {
  // Some say 0.
  return { columns: process.stdout.columns || SCREEN.columns, rows: process.stdout.rows || SCREEN.rows };
}

/** Line over line, so that nothing flickers. */
function draw(lines: readonly string[]): void {
  process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
}

function jsonOf(view: TopView): string {
  return JSON.stringify({ event: 'top', ...view });
}
