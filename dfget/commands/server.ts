import { Command } from 'commander';
import { note } from './dragonfly-flags.ts';

/** `dfget server` of Dragonfly's dfget 1: its peer server, which each download starts by itself there. */
export function serverCommand(): Command {
  return new Command('server')
    .description('Taken from scripts for Dragonfly 1, and does nothing: the daemon shares what is here.')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(() => note('dfget server', 'the daemon shares what this machine has: dfget daemon'));
}
