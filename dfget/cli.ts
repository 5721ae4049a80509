import { Command } from 'commander';
import { finishProgram } from '../lib/command/finish-program.ts';
import { VERSION } from '../lib/core/version.ts';

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  daemon: async () => (await import('./daemon/command.ts')).daemonCommand(),
  get: async () => (await import('./commands/get.ts')).getCommand(),
  pull: async () => (await import('./commands/pull.ts')).pullCommand(),
  preheat: async () => (await import('./commands/preheat.ts')).preheatCommand(),
  upgrade: async () => (await import('./commands/upgrade.ts')).upgradeCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  explain: async () => (await import('./commands/explain.ts')).explainCommand(),
  top: async () => (await import('./commands/top.ts')).topCommand(),
  settings: async () => (await import('./commands/settings.ts')).settingsCommand(),
  cache: async () => (await import('./commands/cache.ts')).cacheCommand(),
  store: async () => (await import('./commands/store.ts')).storeCommand(),
  setup: async () => (await import('./commands/setup.ts')).setupCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  pause: async () => (await import('./commands/pause.ts')).pauseCommand(),
  resume: async () => (await import('./commands/pause.ts')).resumeCommand(),
  server: async () => (await import('./commands/server.ts')).serverCommand(),
  completion: async () => {
    const { completionCommand } = await import('../lib/command/completion.ts');
    return completionCommand('dfget', () => dfgetCli(undefined));
  },
};

/** Taken, and not told of. */
const HIDDEN = ['server'];

const FIRST_AID = `
When something is wrong:
  dfget doctor            why pulls do not go through the mirror, and what cures it
  dfget explain IMAGE     why a pull was slow
  dfget top               what moves just now
  dfget pause             out of the way on all nodes; "dfget resume" undoes it
`;

/** Names of the commands. */
export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS);

/**
 * The `dfget` command: what a node does, and what people ask of it.
 * @param asked the command that is wanted: the others are not loaded
 */
export async function dfgetCli(asked: string | undefined): Promise<Command> {
  const cli = new Command('dfget')
    .description('Container images from the machines next to you instead of from the registry.')
    .version(VERSION)
    .showHelpAfterError('(dfget --help shows every command)')
    .addHelpText('after', FIRST_AID);
  for (const [name, load] of Object.entries(COMMANDS)) {
    if (asked !== name && asked !== undefined && asked in COMMANDS) continue;
    cli.addCommand(await load(), { hidden: HIDDEN.includes(name) });
  }
  return finishProgram(cli);
}
