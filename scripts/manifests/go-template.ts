import { stringify } from 'yaml';

// The part of Go's template language that our chart keeps to: values, if, range, and a few of Helm's functions. What is
// not here is refused, so that whatever this renders, Helm renders too.

interface Scope {
  readonly dot: unknown;
  readonly variables: Readonly<Record<string, unknown>>;
}

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly expression: string }
  | { readonly kind: 'if'; readonly expression: string; readonly body: Node[] }
  | { readonly kind: 'range'; readonly name: string; readonly expression: string; readonly body: Node[] };

const ACTION = /(\s*)\{\{(-?)\s*(.*?)\s*(?:-\}\}\s*|\}\})/gs;
const WORD = /\(([^()]*)\)|"([^"]*)"|'([^']*)'|(\S+)/g;

/** @throws Error on what the language here does not have, and on values that are not there */
export function renderTemplate(text: string, data: Readonly<Record<string, unknown>>): string {
  return write(parse(text), { dot: data, variables: { $: data } });
}

function parse(text: string): Node[] {
  const root: Node[] = [];
  const open: Node[][] = [root];
  const add = (node: Node): void => void open.at(-1)?.push(node);
  let at = 0;
  for (const match of text.matchAll(ACTION)) {
    const [whole, before = '', cut, inside = ''] = match;
    add({ kind: 'text', text: text.slice(at, match.index) + (cut === '-' ? '' : before) });
    at = match.index + whole.length;
    const [, word = '', rest = ''] =
      /^(if|range|end|with|else|define|include|template)?\b\s*(.*)$/s.exec(inside) ?? [];
    if (word === 'end') {
      open.pop();
    } else if (word === 'if' || word === 'range') {
      const [, name = '', expression = ''] = /^(?:(\$\w+)\s*:=\s*)?(.*)$/s.exec(rest) ?? [];
      const body: Node[] = [];
      add({ kind: word, name, expression, body });
      open.push(body);
    } else if (word !== '') {
      throw new Error(`{{ ${inside} }}: the chart keeps to values, if and range`);
    } else {
      add({ kind: 'value', expression: inside });
    }
  }
  if (open.length !== 1) throw new Error('an if or range without its end');
  add({ kind: 'text', text: text.slice(at) });
  return root;
}

function write(nodes: readonly Node[], scope: Scope): string {
  return nodes
    .map((node) => {
      if (node.kind === 'text') return node.text;
      const value = evaluate(node.expression, scope);
      if (node.kind === 'value') return String(value);
      if (node.kind === 'if') return isTrue(value) ? write(node.body, scope) : '';
      return (value as unknown[])
        .map((each) =>
          write(
            node.body,
            node.name === ''
              ? { ...scope, dot: each }
              : { dot: each, variables: { ...scope.variables, [node.name]: each } },
          ),
        )
        .join('');
    })
    .join('');
}

/** `value | function …`: what comes before is the last argument of what follows. */
function evaluate(expression: string, scope: Scope): unknown {
  let result: unknown;
  for (const [index, command] of expression.split('|').entries()) {
    const words = [...command.trim().matchAll(WORD)];
    const [first, ...rest] = words.map((word) => () => valueOf(word, scope));
    const name = words[0]?.[4] ?? '';
    const called = FUNCTIONS[name];
    if (called !== undefined) {
      result = called(...rest.map((each) => each()), ...(index === 0 ? [] : [result]));
    } else {
      if (index > 0 || rest.length > 0) throw new Error(`{{ ${expression} }}: no function ${name}`);
      result = first?.();
    }
  }
  return result;
}

function valueOf([, inner, double, single, word = '']: RegExpMatchArray, scope: Scope): unknown {
  if (inner !== undefined) return evaluate(inner, scope);
  if (double !== undefined || single !== undefined) return double ?? single;
  if (/^\d+$/.test(word)) return Number(word);
  if (word === '.') return scope.dot;
  const [head = '', ...path] = word.split('.');
  let at: unknown = head === '' ? scope.dot : scope.variables[head];
  for (const key of path) {
    at = (at as Record<string, unknown> | undefined)?.[key];
    if (at === undefined) throw new Error(`{{ ${word} }}: there is no such value`);
  }
  return at;
}

const FUNCTIONS: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  int: (value: unknown) => Number(value),
  nindent: (spaces: unknown, text: unknown) =>
    `\n${String(text).replace(/^(?=.)/gm, ' '.repeat(Number(spaces)))}`,
  omit: (map: unknown, ...keys: unknown[]) =>
    Object.fromEntries(Object.entries(map as object).filter(([key]) => !keys.includes(key))),
  or: (...values: unknown[]) => values.find(isTrue) ?? values.at(-1),
  quote: (value: unknown) => JSON.stringify(String(value)),
  toYaml: (value: unknown) => stringify(value, { lineWidth: 0 }).trimEnd(),
  until: (count: unknown) => Array.from({ length: Number(count) }, (_, index) => index),
};

/** As Go sees it: nothing, zero and what is empty is false. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
