import { pino } from 'pino';
import type { Logger } from '../../lib/observe/log.ts';

/** pino's number of `error`: what is logged so is a bug of ours, whatever broke around us. */
const ERROR = 50;
/** Processes of one version never say this of each other. */
const PROTOCOL = ['peer broke the protocol', 'tracker breaks the protocol', 'control connection refused'];

interface Line {
  readonly level: number;
  readonly process?: string;
  readonly msg?: string;
}

/** Whether what is broken around the process makes it right to say so. */
export type Explains = (process: string, facts: Readonly<Record<string, unknown>>) => boolean;

/** A log whose lines go into the trace, when there is one, and whose errors are told. */
export function recordingLog(
  onTrace: ((line: string) => void) | undefined,
  onError: (text: string) => void,
  explains: Explains,
): Logger {
  const stream = {
    write(text: string): void {
      const { level, msg, process: who = '', ...facts } = JSON.parse(text) as Line;
      const line = `${who} log: ${msg ?? ''} ${JSON.stringify(facts)}`;
      onTrace?.(line);
      const breach = PROTOCOL.includes(msg ?? '') && !explains(who, facts);
      if (level >= ERROR || breach) onError(line);
    },
  };
  const level = onTrace === undefined ? 'warn' : 'debug';
  return pino({ level, base: null, timestamp: false }, stream);
}
