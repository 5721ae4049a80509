import type { Command } from 'commander';
import { EXIT } from '../runtime/system-process.ts';
import { commandTree, everyCommand } from './command-tree.ts';

const EXIT_CODES =
  'Exit codes of all commands: 0 done, 1 failed, 2 the words or settings were wrong, 130 interrupted.\n';

/** What all commands of a program have in common: what their help ends with, and how they end when it was typed wrong. */
export function finishProgram(program: Command): Command {
  for (const { command, commands } of everyCommand(commandTree(program))) {
    command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.ok : EXIT.usage));
    if (commands.length === 0) command.addHelpText('after', EXIT_CODES);
  }
  return program;
}
