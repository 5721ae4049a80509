import { Command } from 'commander';
import { exitCodeOf, printError } from '../../lib/command/fail.ts';
import { DEFAULT_SOCKET } from '../../lib/config/common.ts';
import { createDaemonClient } from '../daemon-client.ts';

interface PauseFlags {
  readonly socket: string;
  readonly json?: boolean;
}

const ANSWER_WAIT_MS = 5_000;

/** `pause [UPSTREAM]`, of dfget and damselfly alike. */
export function pauseCommand(): Command {
  return switchCommand(
    'pause',
    'The kill switch of this machine: pulls go straight to the registry from the next request on, without a restart of any client, until "resume".',
  );
}

/** `resume [UPSTREAM]` */
export function resumeCommand(): Command {
  return switchCommand('resume', 'Undo "pause": pulls go through the swarm again.');
}

function switchCommand(action: 'pause' | 'resume', about: string): Command {
  return new Command(action)
    .description(about)
    .argument('[upstream]', 'a registry as images name it', 'all')
    .option('--socket <path>', 'socket of the daemon', process.env['DAMSELFLY_SOCKET'] ?? DEFAULT_SOCKET)
    .option('--json', 'print one JSON object')
    .addHelpText('after', `\nExamples:\n  dfget ${action}\n  dfget ${action} harbor.corp\n`)
    .action(async (upstream: string, { json = false, socket }: PauseFlags) => {
      const client = createDaemonClient(socket);
      try {
        const paused = await client.setPause(action, upstream, AbortSignal.timeout(ANSWER_WAIT_MS));
        const said = paused.length === 0 ? 'nothing is paused' : `paused: ${paused.join(', ')}`;
        process.stdout.write(json ? `${JSON.stringify({ paused })}\n` : `${said}\n`);
      } catch (error) {
        printError(error, json);
        process.exitCode = exitCodeOf(error);
      } finally {
        await client.close();
      }
    });
}
