import { Command } from 'commander';
import type { z } from 'zod';
import { addSettings, defaultSettingsFile, loadConfig, settingsFile } from '../config/load.ts';
import { createLog, type Logger, type LogLevel } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { watchFile } from '../runtime/file-watch.ts';
import type { Rng } from '../runtime/rng.ts';
import { createSystemClock } from '../runtime/system-clock.ts';
import { systemFileStamp } from '../runtime/system-file-stamp.ts';
import { type RunningProcess, runUntilSignal } from '../runtime/system-process.ts';
import { createSystemRng } from '../runtime/system-rng.ts';
import { exitCodeOf, printError } from './fail.ts';
import type { PushedValues, ReadSettings } from './live-settings.ts';

export interface ProcessDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

/** Where the settings of a process come from, to read them again while it runs. */
export interface SettingsSources<C> {
  /** @throws CONFIG_INVALID */
  readonly read: ReadSettings<C>;
  /** Calls when the settings file is another one. @returns ends it */
  readonly watch: (changed: () => void) => () => void;
}

type ProcessSchema = z.ZodObject<Record<string, z.ZodType>>;

/** A command that runs a process until it is told to stop: settings to config, config to a running process. */
export function processCommand<S extends ProcessSchema>(spec: {
  readonly name: string;
  readonly about: string;
  readonly schema: S;
  readonly examples: string;
  start(
    deps: ProcessDeps,
    config: z.output<S>,
    sources: SettingsSources<z.output<S>>,
  ): Promise<RunningProcess>;
}): Command {
  const defaultFile = defaultSettingsFile(spec.name);
  const command = addSettings(new Command(spec.name).description(spec.about), spec.schema, defaultFile);
  command.option('--json', 'print one JSON line on stdout when ready, with the addresses that were chosen');
  command.addHelpText('after', `\nExamples:\n${spec.examples}`);
  return command.action(async (flags: Record<string, unknown>) => {
    const json = flags['json'] === true;
    const read = (pushed: PushedValues): z.output<S> =>
      loadConfig(spec.schema, { flags, env: process.env, defaultFile, pushed }) as z.output<S>;
    let config: z.output<S>;
    try {
      config = read({});
    } catch (error) {
      printError(error, json);
      process.exit(exitCodeOf(error));
    }
    const log = createLog(spec.name, (config as { logLevel: LogLevel }).logLevel);
    const deps = { clock: createSystemClock(), rng: createSystemRng(), log, wallClockMs: () => Date.now() };
    process.on('unhandledRejection', (error) => log.error({ error: String(error) }, 'unhandled rejection'));
    const watching = { clock: deps.clock, stamp: systemFileStamp };
    const watch = (changed: () => void): (() => void) =>
      watchFile(watching, settingsFile({ defaultFile, flags }), changed);
    const failed = (error: unknown): number => {
      printError(error, json);
      return exitCodeOf(error);
    };
    await runUntilSignal(() => spec.start(deps, config, { read, watch }), { json, failed });
  });
}
