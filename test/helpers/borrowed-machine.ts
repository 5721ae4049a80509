import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, type CommandResult, run, startChild } from '../../bench/fixtures/child.ts';

/**
 * This machine once more: what is written there goes nowhere, and its network is a loopback of its own. For tests of
 * what installs things.
 */
export interface BorrowedMachine {
  run(...words: string[]): Promise<CommandResult>;
  start<Ready>(
    words: readonly string[],
    options: { readonly logFile: string; ready(line: string): Ready | undefined },
  ): Promise<Child<Ready>>;
  stop(): Promise<void>;
}

const TIMEOUT_MS = 300_000;

/**
 * An overlay over this machine's root in namespaces of its own (root only).
 * @param shown folders that are to be seen in it wherever they are mounted here
 */
export async function borrowMachine(folder: string, shown: readonly string[]): Promise<BorrowedMachine> {
  const layers = join(folder, 'layers');
  mkdirSync(layers, { recursive: true });
  const script = [
    'set -e; layers=$0',
    'mount -t tmpfs tmpfs "$layers"; mkdir "$layers/new" "$layers/work" "$layers/root"',
    'mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/new,workdir=$layers/work" "$layers/root"',
    'mount -t proc proc "$layers/root/proc"; mount --rbind /dev "$layers/root/dev"',
    'mount -t tmpfs tmpfs "$layers/root/run"',
    'for each in "$@"; do mkdir -p "$layers/root$each"; mount --bind -o ro "$each" "$layers/root$each"; done',
    'ip link set lo up; echo borrowed; exec sleep infinity',
  ];
  const keeper = await startChild({
    command: 'unshare',
    args: ['--mount', '--net', 'sh', '-c', script.join('\n'), layers, ...shown],
    logFile: join(folder, 'machine.log'),
    ready: (line) => (line === 'borrowed' ? true : undefined),
  });
  const inside = (words: readonly string[]): string[] => [
    ...['--mount', '--net', '--target', String(keeper.pid), 'chroot', join(layers, 'root')],
    ...['/usr/bin/env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LANG=C.UTF-8', ...words],
  ];
  return {
    run: (...words) => run('nsenter', inside(words), { timeoutMs: TIMEOUT_MS }),
    start: (words, options) => startChild({ command: 'nsenter', args: inside(words), ...options }),
    stop: () => keeper.stop(),
  };
}
