import { DamselflyError } from '../../lib/core/errors.ts';

/** A `[table]` or `[[array of tables]]` line. */
export interface TomlHeader {
  readonly kind: 'header';
  readonly path: readonly string[];
  readonly array: boolean;
  /** Where it stands in the text: from its bracket to after its last one. */
  readonly start: number;
  readonly end: number;
}

/** A `key = value`. */
export interface TomlValue {
  readonly kind: 'value';
  /** With the path of the table that it stands in. */
  readonly path: readonly string[];
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
  /** The value as it is written. */
  readonly text: string;
}

export type TomlItem = TomlHeader | TomlValue;

/**
 * Where everything stands in a TOML text, in order, so that it can be edited in place. Values are found, not read.
 * @throws SETUP_REFUSED naming the line that cannot be understood
 */
export function tomlOutline(text: string): TomlItem[] {
  const items: TomlItem[] = [];
  let table: readonly string[] = [];
  let at = text.startsWith('\ufeff') ? 1 : 0;

  const fail = (): never => {
    const line = text.slice(0, at).split('\n').length;
    throw new DamselflyError('SETUP_REFUSED', `line ${line} is not TOML that can be edited safely`);
  };
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const must = (pattern: RegExp): string => take(pattern) ?? fail();
  const skipBlank = (): void => void take(BLANK);

  const key = (): string[] => {
    const parts: string[] = [];
    do {
      skipBlank();
      const literal = take(LITERAL);
      const basic = literal === undefined ? take(BASIC) : undefined;
      parts.push(literal?.slice(1, -1) ?? (basic === undefined ? must(BARE_KEY) : unescaped(basic)));
      skipBlank();
    } while (take(DOT) !== undefined);
    return parts;
  };
  const string = (): boolean =>
    [MULTI_BASIC, MULTI_LITERAL, BASIC, LITERAL].some((pattern) => take(pattern) !== undefined);
  const value = (): void => {
    const open: string[] = [];
    do {
      if (open.length > 0 && take(GAP) !== undefined) continue;
      if (string()) continue;
      const bracket = take(BRACKET);
      if (bracket === undefined) must(open.length > 0 ? NESTED_PLAIN : PLAIN);
      else if (bracket === '[' || bracket === '{') open.push(bracket === '[' ? ']' : '}');
      else if (open.pop() !== bracket) fail();
    } while (open.length > 0);
  };
  const lineEnd = (): void => void must(REST_OF_LINE);

  while (at < text.length) {
    if (take(REST_OF_LINE) !== undefined) continue;
    skipBlank();
    const start = at;
    const bracket = take(OPENING);
    if (bracket === undefined) {
      const path = [...table, ...key()];
      must(EQUALS);
      skipBlank();
      const valueStart = at;
      value();
      items.push({ kind: 'value', path, start, valueStart, end: at, text: text.slice(valueStart, at) });
    } else {
      table = key();
      const array = bracket === '[[';
      must(array ? DOUBLE_CLOSING : CLOSING);
      items.push({ kind: 'header', path: table, array, start, end: at });
    }
    lineEnd();
  }
  return items;
}

// All sticky: each is tried at one place only.
const BLANK = /[ \t]*/y;
const DOT = /\./y;
const EQUALS = /=/y;
const OPENING = /\[\[?/y;
const CLOSING = /\]/y;
const DOUBLE_CLOSING = /\]\]/y;
const BRACKET = /[[\]{}]/y;
const REST_OF_LINE = /[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/y;
/** Between the parts of a value in brackets. */
const GAP = /(?:[ \t\r\n,]|#[^\n]*)+/y;
const BARE_KEY = /[A-Za-z0-9_-]+/y;
const BASIC = /"(?!"")(?:[^"\\\n]|\\[^\n])*"/y;
const LITERAL = /'(?!'')[^'\n]*'/y;
const MULTI_BASIC = /"""(?:[^\\]|\\[^])*?"""(?:""(?!")|"(?!"))?/y;
const MULTI_LITERAL = /'''[^]*?'''(?:''(?!')|'(?!'))?/y;
/** Numbers, dates and truth values; a date and its time may have a space between them. */
const PLAIN = /[A-Za-z0-9+._:-]+(?: [0-9][0-9:.Z+-]+)?/y;
/** In an inline table also keys. */
const NESTED_PLAIN = /[A-Za-z0-9+._:=-]+/y;

/** What a string without line breaks says. */
export function unescaped(text: string): string {
  if (text.startsWith("'")) return text.slice(1, -1);
  try {
    const long = text.replace(/\\U([0-9A-Fa-f]{8})/g, (_, hex: string) =>
      String.fromCodePoint(parseInt(hex, 16)),
    );
    return JSON.parse(long) as string;
  } catch {
    return text.slice(1, -1);
  }
}
