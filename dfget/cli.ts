import { Command } from 'commander';
import { VERSION } from '../lib/core/version.ts';
import { doctorCommand } from './commands/doctor.ts';
import { pauseCommand, resumeCommand } from './commands/pause.ts';
import { pullCommand } from './commands/pull.ts';
import { setupCommand } from './commands/setup.ts';
import { statusCommand } from './commands/status.ts';
import { daemonCommand } from './daemon/command.ts';

/** The `dfget` command: what a node does, and what people ask of it. */
export function dfgetCli(): Command {
  return new Command('dfget')
    .description('Container images from the machines next to you instead of from the registry.')
    .version(VERSION)
    .addCommand(daemonCommand())
    .addCommand(pullCommand())
    .addCommand(statusCommand())
    .addCommand(setupCommand())
    .addCommand(doctorCommand())
    .addCommand(pauseCommand())
    .addCommand(resumeCommand())
    .showHelpAfterError('(dfget --help shows every command)');
}
