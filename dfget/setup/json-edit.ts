import { refuse } from './refuse.ts';
import { eolOf, type TextEdit } from './text-edit.ts';

/** Where a value of a JSON object stands. */
interface Member {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const PLAIN = /[^\s,\]}"[{]+/y;

/**
 * Puts `item` first in the array `key` of the object that `text` is, made when absent. Everything else stays as it is.
 * @returns undefined when it is in the array already
 * @throws SETUP_REFUSED
 */
export function addToJsonArray(path: string, text: string, key: string, item: string): TextEdit | undefined {
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (error) {
    refuse(path, `it is not JSON (${(error as Error).message}): correct it`);
  }
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    refuse(path, 'it is not a JSON object: correct it');
  }
  const members = topMembers(text);
  const found = members.filter((member) => member.key === key);
  if (found.length > 1) refuse(path, `it has ${key} twice: leave one of them`);
  const [member] = found;
  const eol = eolOf(text);
  if (member === undefined) {
    const start = text.indexOf('{') + 1;
    const indent = /\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
    const entry = `${eol}${indent}${JSON.stringify(key)}: [${JSON.stringify(item)}]`;
    if (members.length > 0) return { start, end: start, text: `${entry},` };
    return { start, end: text.lastIndexOf('}'), text: `${entry}${eol}` };
  }
  const value = (object as Record<string, unknown>)[key];
  if (!Array.isArray(value)) refuse(path, `${key} is not an array: correct it`);
  if (value.includes(item)) return undefined;
  const start = member.start + 1;
  return { start, end: start, text: value.length === 0 ? JSON.stringify(item) : `${JSON.stringify(item)}, ` };
}

/** The members of an object whose text is known to be JSON. */
function topMembers(text: string): Member[] {
  const members: Member[] = [];
  let at = text.indexOf('{') + 1;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? '';
    at += found.length;
    return found;
  };
  const value = (): void => {
    let depth = 0;
    do {
      take(SPACE);
      if (take(STRING) !== '' || take(PLAIN) !== '') continue;
      const sign = text[at++];
      if (sign === '[' || sign === '{') depth++;
      else if (sign === ']' || sign === '}') depth--;
    } while (depth > 0);
  };
  for (;;) {
    take(SPACE);
    if (text[at] === ',') at++;
    take(SPACE);
    const key = take(STRING);
    if (key === '') return members;
    take(SPACE);
    at++;
    take(SPACE);
    const start = at;
    value();
    members.push({ key: JSON.parse(key) as string, start, end: at });
  }
}
