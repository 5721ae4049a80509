import { type Logger as PinoLogger, pino } from 'pino';

export type Logger = PinoLogger;
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Keys whose values never reach a log, however deep an object carries them. */
const SECRETS = ['authorization', 'Authorization', 'password', 'token', 'secret', 'cookie', 'capability'];

/** JSON lines on stderr (stdout belongs to a command's own output); `process` names the part that writes. */
export function createLog(process: string, level: LogLevel): Logger {
  return pino(
    {
      level,
      base: { process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRETS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[secret]' },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
