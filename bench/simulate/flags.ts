import { parseBytes, parseDuration, parseRate } from '../../lib/config/units.ts';
import { DamselflyError } from '../../lib/core/errors.ts';

/** Texts of flags by their camel-case names, as commander gives them. */
export type Texts = Readonly<Record<string, string | boolean | undefined>>;

/** Reads one flag. @throws CONFIG_INVALID that names the flag, its text and what was expected */
export function read<T>(
  texts: Texts,
  flag: string,
  parse: (text: string) => T,
  valid: (value: T) => boolean,
  expected: string,
): T {
  const text = textOf(texts, flag);
  let value: T | undefined;
  try {
    value = text !== undefined && text.trim() !== '' ? parse(text) : undefined;
  } catch (error) {
    if (!(error instanceof DamselflyError)) throw error;
    throw new DamselflyError('CONFIG_INVALID', `--${flag}: ${error.message}`, {}, { cause: error });
  }
  if (value === undefined || !valid(value)) throw wrong(texts, flag, expected);
  return value;
}

/** The same for a flag that may be left out. */
export function maybe<T>(texts: Texts, flag: string, readIt: () => T): T | undefined {
  return textOf(texts, flag) === undefined ? undefined : readIt();
}

export function wrong(texts: Texts, flag: string, expected: string): DamselflyError {
  const text = JSON.stringify(textOf(texts, flag));
  return new DamselflyError('CONFIG_INVALID', `--${flag}: got ${text}; expected ${expected}`);
}

export function count(texts: Texts, flag: string, most: number): number {
  return read(texts, flag, Number, isNumber(1, most), `a whole number from 1 to ${most}`);
}

export function isNumber(least: number, most: number): (value: number) => boolean {
  return (value) => Number.isInteger(value) && value >= least && value <= most;
}

const LEAST_RATE = 1024;

export function rate(texts: Texts, flag: string): number {
  return read(texts, flag, parseRate, (value) => value >= LEAST_RATE, 'at least 1KiB/s');
}

export function bytes(texts: Texts, flag: string, least: number, expected: string): number {
  return read(texts, flag, parseBytes, (value) => value >= least, expected);
}

const LONGEST_MS = 3_600_000;

export function duration(texts: Texts, flag: string): number {
  return read(texts, flag, parseDuration, (value) => value >= 0 && value <= LONGEST_MS, 'at most 1h');
}

/** For a part of a flag's text: NaN instead of an error, which would name that part and not the whole. */
export function partOf(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof DamselflyError)) throw error;
      return Number.NaN;
    }
  };
}

/** `10%` or `0.1` as 0.1. */
export function parseShare(text: string): number {
  const share = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  return text.trim() === '' || text === '%' ? Number.NaN : share;
}

export function isShare(value: number): boolean {
  return value > 0 && value < 1;
}

/** `WHAT@WHEN` as two texts; without `@` the second is `otherwise`. */
export function atPair(text: string, otherwise?: string): readonly [string, string] {
  const [what, when, ...more] = text.split('@');
  return [what ?? '', more.length > 0 ? '' : (when ?? otherwise ?? '')];
}

function textOf(texts: Texts, flag: string): string | undefined {
  const text = texts[flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
  return typeof text === 'string' ? text : undefined;
}
