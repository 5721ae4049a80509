import { DamselflyError } from '../../lib/core/errors.ts';
import { refuse } from './refuse.ts';
import { linesAfter, type TextEdit } from './text-edit.ts';
import { type TomlHeader, type TomlItem, type TomlValue, tomlOutline, unescaped } from './toml-outline.ts';

/** A TOML file and where everything stands in it. */
export interface TomlFile {
  readonly path: string;
  readonly text: string;
  readonly items: readonly TomlItem[];
}

/** @throws SETUP_REFUSED naming file and line */
export function openToml(path: string, text: string): TomlFile {
  try {
    return { path, text, items: tomlOutline(text) };
  } catch (error) {
    if (error instanceof DamselflyError) refuse(path, error.message);
    throw error;
  }
}

export const samePath = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && startsWithPath(a, b);

export const startsWithPath = (path: readonly string[], prefix: readonly string[]): boolean =>
  prefix.every((part, index) => path[index] === part);

export function headerAt(file: TomlFile, path: readonly string[]): TomlHeader | undefined {
  return file.items.find((item) => item.kind === 'header' && samePath(item.path, path)) as
    | TomlHeader
    | undefined;
}

export function valueAt(file: TomlFile, path: readonly string[]): TomlValue | undefined {
  return file.items.find((item) => item.kind === 'value' && samePath(item.path, path)) as
    | TomlValue
    | undefined;
}

/** Whether the table is written in another way than under a header of its own, so that no header may be added for it. */
export function isInline(file: TomlFile, table: readonly string[]): boolean {
  let header: readonly string[] = [];
  return file.items.some((item) => {
    if (item.kind === 'header') {
      header = item.path;
      return false;
    }
    // A value under a shorter header whose key reaches into the table, or is a table above it.
    return header.length < table.length && startsWithPath(table, header) && shareStart(item.path, table);
  });
}

const shareStart = (a: readonly string[], b: readonly string[]): boolean =>
  a.length <= b.length ? startsWithPath(b, a) : startsWithPath(a, b);

/** The text of a value that is one string; undefined for anything else. */
export function stringOf(value: TomlValue | undefined): string | undefined {
  if (value === undefined || !/^(?:"(?!"")|'(?!''))/.test(value.text)) return undefined;
  return unescaped(value.text);
}

/** Strings in an array of strings. */
export function stringsOf(value: TomlValue): string[] {
  const withoutComments = value.text.replace(/("(?:[^"\\]|\\.)*"|'[^']*')|#[^\n]*/g, '$1');
  return [...withoutComments.matchAll(/"(?:[^"\\]|\\.)*"|'[^']*'/g)].map(([text]) => unescaped(text));
}

/** A TOML string. */
export const quoted = (text: string): string => JSON.stringify(text);

/** Puts `text` first in an array. @throws SETUP_REFUSED when the value is none */
export function firstInArray(file: TomlFile, value: TomlValue, text: string): TextEdit {
  if (!value.text.startsWith('[')) refuse(file.path, `${value.path.join('.')} is not an array`);
  const rest = value.text.slice(1, -1).replace(/#[^\n]*/g, '');
  const start = value.valueStart + 1;
  return { start, end: start, text: rest.trim() === '' ? quoted(text) : `${quoted(text)}, ` };
}

/** A line under a header. */
export function underHeader(file: TomlFile, header: TomlHeader, line: string): TextEdit {
  return linesAfter(file.text, header.end, [line]);
}
