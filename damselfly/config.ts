import { existsSync } from 'node:fs';
import { Argument, Command } from 'commander';
import { orFail } from '../lib/command/fail.ts';
import {
  addSettings,
  type ConfigSources,
  defaultSettingsFile,
  givenSettings,
  settingsFile,
} from '../lib/config/load.ts';
import { type ShownSetting, settingsAsYaml, shownSettings } from '../lib/config/shown.ts';
import { silentLog } from '../lib/observe/log.ts';
import { createSystemClock } from '../lib/runtime/system-clock.ts';
import { EXIT } from '../lib/runtime/system-process.ts';
import { CHECKED_PROCESSES, type CheckedProcess } from './checked-processes.ts';

interface ConfigFlags {
  readonly config?: string;
  readonly json?: boolean;
}

/** What is looked at: a process, and where its settings come from. */
interface Looked {
  readonly name: string;
  readonly process: CheckedProcess;
  readonly sources: ConfigSources;
  readonly settings: readonly ShownSetting[];
}

/** `damselfly config check|print` */
export function configCommand(): Command {
  const check = subcommand('check')
    .description(
      'Say whether a process would start with its settings: their values, the files that they name, and what they say together. Nothing is started or changed.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  damselfly config check daemon\n  damselfly config check daemon --config ./daemon.yaml\n' +
        '  damselfly config check supernode --json -- --zone eu/fra --store-max 500GiB\n' +
        '\nWhat cannot be known before the start: whether ports are free, others answer and this machine is a member.\n',
    )
    .action(async (name: string, words: readonly string[], flags: ConfigFlags) => {
      await orFail(flags.json === true, async () => {
        const looked = look(name, words, flags);
        const deps = { clock: createSystemClock(), log: silentLog() };
        const notes = await looked.process.check(deps, looked.sources);
        process.stdout.write(
          flags.json === true ? checkedAsJson(looked, notes) : checkedAsText(looked, notes),
        );
      });
    });
  const print = subcommand('print')
    .description(
      'Print the settings of a process as they would count, and where each was found: a settings file again, without secrets.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  damselfly config print daemon\n  DAMSELFLY_ZONE=eu/fra damselfly config print supernode --json\n' +
        '  damselfly config print tracker -- --log-level debug\n',
    )
    .action(async (name: string, words: readonly string[], flags: ConfigFlags) => {
      await orFail(flags.json === true, async () => {
        const { settings, sources } = look(name, words, flags);
        const told = { process: name, file: settingsFile(sources), settings };
        process.stdout.write(flags.json === true ? `${JSON.stringify(told)}\n` : settingsAsYaml(settings));
      });
    });
  return new Command('config')
    .description('The settings of a process, without starting it.')
    .addCommand(check)
    .addCommand(print);
}

function subcommand(name: string): Command {
  return new Command(name)
    .addArgument(new Argument('<process>', 'whose settings').choices(Object.keys(CHECKED_PROCESSES)))
    .argument('[settings...]', 'after --: flags as the process is given them')
    .option('--config <file>', 'its settings file (default: /etc/damselfly/PROCESS.yaml if it exists)')
    .option('--json', 'print one JSON object');
}

/** @throws CONFIG_INVALID for a settings file that cannot be used */
function look(name: string, words: readonly string[], { config }: ConfigFlags): Looked {
  const found = CHECKED_PROCESSES[name];
  if (found === undefined) throw new RangeError(`no process: ${name}`);
  const defaultFile = defaultSettingsFile(name);
  const parser = addSettings(new Command(name), found.schema, defaultFile)
    .helpOption(false)
    .exitOverride(() => process.exit(EXIT.usage));
  const typed = parser.parse([...words], { from: 'user' }).opts();
  const flags = { ...(config === undefined ? {} : { config }), ...typed };
  const sources = { flags, env: process.env, defaultFile };
  const settings = shownSettings(found.schema, givenSettings(found.schema, sources));
  return { name, process: found, sources, settings };
}

function checkedAsJson({ name, settings, sources }: Looked, notes: readonly string[]): string {
  const set = settings.filter(({ from }) => from !== 'default').map((each) => each.name);
  return `${JSON.stringify({ process: name, file: settingsFile(sources), ok: true, set, notes })}\n`;
}

function checkedAsText({ name, settings, sources }: Looked, notes: readonly string[]): string {
  const path = settingsFile(sources);
  const set = settings.filter(({ from }) => from !== 'default').length;
  const of = existsSync(path) ? path : `there is no ${path}`;
  return [`${name}: its settings are right (${of}; ${set} set, the rest defaults)`, ...notes]
    .map((line) => `${line}\n`)
    .join('');
}
