import { Command } from 'commander';
import { orFail } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { DamselflyError } from '../../lib/core/errors.ts';
import { EXIT } from '../../lib/runtime/system-process.ts';
import { changeByTracker } from '../change-by-tracker.ts';
import { createDaemonClient } from '../daemon-client.ts';
import type { PauseAnswer } from '../local-protocol.ts';
import { type PauseAction, switched } from '../paused-names.ts';
import { caDirOption, trackerOption } from './by-tracker-options.ts';

interface PauseFlags {
  readonly socket: string;
  readonly caDir: string;
  readonly tracker?: readonly string[];
  readonly thisNode?: boolean;
  readonly json?: boolean;
}

const ANSWER_WAIT_MS = 5_000;

/** `pause [UPSTREAM]`, of dfget and damselfly alike. */
export function pauseCommand(): Command {
  return switchCommand(
    'pause',
    'The kill switch: on every node of the cluster, pulls go straight to the registry from the next request on, without a restart of any client, until "resume".',
  );
}

/** `resume [UPSTREAM]` */
export function resumeCommand(): Command {
  return switchCommand('resume', 'Undo "pause": pulls go through the swarm again.');
}

function switchCommand(action: PauseAction, about: string): Command {
  const examples = [
    '',
    `dfget ${action}`,
    `dfget ${action} harbor.corp`,
    `dfget ${action} --this-node`,
    `damselfly ${action} --tracker wss://tracker.corp:8400 --ca-dir /var/lib/damselfly/ca`,
  ];
  return new Command(action)
    .description(about)
    .argument('[upstream]', 'a registry as images name it', 'all')
    .option('--this-node', 'this machine alone, whatever the cluster does (without trackers: always)')
    .addOption(trackerOption())
    .addOption(caDirOption())
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText('after', `\nExamples:${examples.join('\n  ')}\n`)
    .action(async (upstream: string, flags: PauseFlags) => {
      const json = flags.json === true;
      await orFail(json, async () => {
        const answer = await ask(action, upstream, flags);
        process.stdout.write(json ? `${JSON.stringify(answer)}\n` : describe(answer));
        if (!answer.confirmed) process.exitCode = EXIT.failed;
      });
    });
}

async function ask(action: PauseAction, upstream: string, flags: PauseFlags): Promise<PauseAnswer> {
  const { caDir, socket, thisNode = false, tracker = [] } = flags;
  if (tracker.length > 0) {
    if (!thisNode) {
      const { paused } = await changeByTracker(tracker, caDir, (before) => ({
        paused: switched(before.paused, action, upstream),
      }));
      return { paused, otherSwitch: [], scope: 'cluster', confirmed: true };
    }
    throw new DamselflyError('CONFIG_INVALID', '--this-node and --tracker: say one of them');
  }
  const client = createDaemonClient(socket);
  try {
    const question = thisNode ? { upstream, scope: 'node' as const } : { upstream };
    return await client.setPause(action, question, AbortSignal.timeout(ANSWER_WAIT_MS));
  } finally {
    await client.close();
  }
}

function describe({ confirmed, otherSwitch, paused, scope }: PauseAnswer): string {
  const said = paused.length === 0 ? 'nothing is paused' : `paused: ${paused.join(', ')}`;
  const where = scope === 'cluster' ? 'the whole cluster' : 'this node';
  const other = scope === 'cluster' ? 'on this node, by --this-node' : 'in the whole cluster';
  const more = otherSwitch.length === 0 ? '' : `paused besides ${other}: ${otherSwitch.join(', ')}\n`;
  if (confirmed) return `${said} (${where})\n${more}`;
  return `${said} (this node alone so far: no tracker answers, the others hear of it when one does)\n${more}`;
}
