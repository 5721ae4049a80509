import { spawnSync } from 'node:child_process';
import { Argument, Command, Option } from 'commander';
import { orFail } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { createDaemonClient } from '../daemon-client.ts';
import { type Changes, type FileChange, planSetup, planUndo } from '../setup/apply.ts';
import type { SetupClient } from '../setup/client.ts';
import { SETUP_CLIENTS } from '../setup/clients.ts';
import { createMachineFiles } from '../setup/machine-files.ts';
import { unifiedDiff } from '../setup/unified-diff.ts';
import { servedHere, type WantedFlags, wantedRegistries } from '../setup/wanted.ts';

interface SetupFlags extends WantedFlags {
  readonly dryRun?: boolean;
  readonly undo?: boolean;
  readonly stay?: boolean;
  readonly restart?: boolean;
  readonly root: string;
  readonly socket: string;
  readonly json?: boolean;
}

const STATUS_WAIT_MS = 5_000;
/** Something to wait for: a signal alone does not keep a process alive. */
const IDLE_MS = 3_600_000;

/** `dfget setup CLIENT` */
export function setupCommand(): Command {
  return new Command('setup')
    .description('Make a container client of this machine ask the mirror, by its own configuration files.')
    .addArgument(new Argument('<client>', 'whose files').choices(SETUP_CLIENTS.map(({ name }) => name)))
    .option(
      '--upstream <name...>',
      'registries, as images name them; NAME=URL where clients find one elsewhere than under https://NAME (default: those of the daemon)',
    )
    .option(
      '--proxy <[name=]host:port...>',
      'the mirror; NAME= for a listener of one registry (default: as the daemon listens)',
    )
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--undo', 'put everything back, byte for byte, as it was before the first setup')
    .addOption(
      new Option(
        '--stay',
        'stay until told to stop (SIGTERM, SIGINT), then undo it: beside a daemon that comes and goes, as in Kubernetes',
      ).conflicts(['dryRun', 'undo']),
    )
    .option(
      '--restart',
      'make the client read its files again, when they have changed and it does not do so by itself',
    )
    .option('--root <folder>', 'the machine is in this folder: for images that are being built', '/')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
What was there stays, comments and order too; what cannot be kept safe is refused. Doing it twice changes nothing.

Examples:
  dfget setup containerd --dry-run
  dfget setup docker --upstream docker.io --restart
  dfget setup podman --upstream harbor.corp --proxy 127.0.0.1:65001
  dfget setup containerd --undo

Exit codes: 0 done, or nothing to do; 1 refused; 2 wrong usage.
`,
    )
    .action(async (name: string, flags: SetupFlags) => {
      const json = flags.json === true;
      await orFail(json, async () => {
        const told = flags.stay === true ? toldToStop() : undefined;
        await setUp(name, flags, json);
        if (told === undefined) return;
        await told;
        await setUp(name, { ...flags, undo: true }, json);
      });
    });
}

/** Keeps the process alive until it gets a signal to end; listened for from the call on. */
function toldToStop(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, IDLE_MS);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  return promise.finally(() => clearInterval(alive));
}

async function setUp(name: string, flags: SetupFlags, json: boolean): Promise<void> {
  const { dryRun = false, restart = false, root, undo = false } = flags;
  const client = SETUP_CLIENTS.find((each) => each.name === name) as SetupClient;
  if (restart && root !== '/') {
    throw new DamselflyError('CONFIG_INVALID', '--restart: nothing runs in the folder of --root');
  }
  const files = createMachineFiles(root);
  const changes = undo
    ? planUndo(files, client)
    : planSetup(
        files,
        client,
        await wantedRegistries(flags, () => servedHere(root, () => askDaemon(flags.socket))),
      );
  if (!dryRun) changes.carryOut();
  const command =
    changes.files.some(({ needsRestart }) => needsRestart) && root === '/' ? client.restart : undefined;
  const restarted = restart && !dryRun && command !== undefined;
  if (restarted) runRestart(command, json);
  const told = { client: name, undo, dryRun, changes, command, restarted };
  process.stdout.write(json ? `${JSON.stringify(asJson(told))}\n` : asText(told));
}

async function askDaemon(socket: string) {
  const client = createDaemonClient(socket);
  try {
    return await client.status(AbortSignal.timeout(STATUS_WAIT_MS));
  } finally {
    await client.close();
  }
}

function runRestart([command = '', ...args]: readonly string[], json: boolean): void {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', json ? 2 : 1, 2] });
  if (status === 0) return;
  const why = error?.message ?? `exit code ${status ?? 'none'}`;
  throw new DamselflyError(
    'SETUP_REFUSED',
    `the files are written, but "${[command, ...args].join(' ')}" failed: ${why}`,
  );
}

interface Told {
  readonly client: string;
  readonly undo: boolean;
  readonly dryRun: boolean;
  readonly changes: Changes;
  /** Makes the client read its files again, where that is needed. */
  readonly command: readonly string[] | undefined;
  readonly restarted: boolean;
}

function asJson({ changes, command, ...rest }: Told): object {
  return {
    ...rest,
    files: changes.files.map((file) => ({ path: file.path, action: actionOf(file), diff: diffOf(file) })),
    restart: command?.join(' ') ?? null,
    notes: changes.notes,
  };
}

function asText({ changes, client, command, dryRun, restarted, undo }: Told): string {
  const lines: string[] = [];
  if (changes.files.length === 0) {
    lines.push(undo ? `${client}: nothing to undo` : `${client}: set up already`);
  }
  for (const file of changes.files) {
    lines.push(dryRun ? diffOf(file).trimEnd() : `${DONE[actionOf(file)]} ${file.path}`);
  }
  lines.push(...changes.notes.map((note) => `note: ${note}`));
  if (command !== undefined && !restarted) lines.push(`then, for ${client} to read it: ${command.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

const DONE = { create: 'wrote', change: 'changed', remove: 'removed' } as const;

function actionOf({ after, before }: FileChange): keyof typeof DONE {
  if (after === undefined) return 'remove';
  return before === undefined ? 'create' : 'change';
}

function diffOf({ after, before, path }: FileChange): string {
  return unifiedDiff(path, before?.toString(), after?.toString());
}
