import { Command } from 'commander';
import type { z } from 'zod';
import { addSettings, loadConfig } from '../config/load.ts';
import { createLog, type Logger, type LogLevel } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Rng } from '../runtime/rng.ts';
import { createSystemClock } from '../runtime/system-clock.ts';
import { type RunningProcess, runUntilSignal } from '../runtime/system-process.ts';
import { createSystemRng } from '../runtime/system-rng.ts';
import { exitCodeOf, printError } from './fail.ts';

export interface ProcessDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
}

type ProcessSchema = z.ZodObject<Record<string, z.ZodType>>;

/** A command that runs a process until it is told to stop: settings to config, config to a running process. */
export function processCommand<S extends ProcessSchema>(spec: {
  readonly name: string;
  readonly about: string;
  readonly schema: S;
  readonly defaultFile: string;
  readonly examples: string;
  start(deps: ProcessDeps, config: z.output<S>): Promise<RunningProcess>;
}): Command {
  const command = addSettings(new Command(spec.name).description(spec.about), spec.schema, spec.defaultFile);
  command.option('--json', 'print one JSON line on stdout when ready, with the addresses that were chosen');
  command.addHelpText('after', `\nExamples:\n${spec.examples}`);
  return command.action(async (flags: Record<string, unknown>) => {
    const json = flags['json'] === true;
    let config: z.output<S>;
    try {
      config = loadConfig(spec.schema, {
        flags,
        env: process.env,
        defaultFile: spec.defaultFile,
      }) as z.output<S>;
    } catch (error) {
      printError(error, json);
      process.exit(exitCodeOf(error));
    }
    const log = createLog(spec.name, (config as { logLevel: LogLevel }).logLevel);
    const deps = { clock: createSystemClock(), rng: createSystemRng(), log, wallClockMs: () => Date.now() };
    process.on('unhandledRejection', (error) => log.error({ error: String(error) }, 'unhandled rejection'));
    const failed = (error: unknown): number => {
      printError(error, json);
      return exitCodeOf(error);
    };
    await runUntilSignal(() => spec.start(deps, config), { json, failed });
  });
}
