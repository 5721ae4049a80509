import { Command } from 'commander';
import { pauseCommand, resumeCommand } from '../dfget/commands/pause.ts';
import { completionCommand } from '../lib/command/completion.ts';
import { finishProgram } from '../lib/command/finish-program.ts';
import { VERSION } from '../lib/core/version.ts';
import { supernodeCommand } from '../supernode/command.ts';
import { trackerCommand } from '../tracker/command.ts';
import { caCommand } from './ca.ts';
import { configCommand } from './config.ts';
import { tokenCommand } from './token.ts';
import { upCommand } from './up.ts';

/** The `damselfly` command: the processes of a cluster. */
export function damselflyCli(): Command {
  const program = new Command('damselfly')
    .description('Peer-to-peer container image distribution: thousands of pulls, one read from the registry.')
    .version(VERSION)
    .addCommand(upCommand())
    .addCommand(trackerCommand())
    .addCommand(supernodeCommand())
    .addCommand(configCommand())
    .addCommand(caCommand())
    .addCommand(tokenCommand())
    .addCommand(pauseCommand())
    .addCommand(resumeCommand())
    .addCommand(completionCommand('damselfly', async () => damselflyCli()))
    .addHelpText('after', '\nThe node daemon and everything asked of a node: dfget --help')
    .showHelpAfterError('(damselfly --help shows every command)');
  return finishProgram(program);
}
