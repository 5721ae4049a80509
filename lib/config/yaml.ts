import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';

/** A broken file takes some 15 µs of CPU for each of its bytes, and no settings file is as long. */
const MAX_CHARS = 256 * 1024;
/** No settings file is as deep: what is costs the parser more than its length shows. */
const MAX_LEVELS = 32;

/** Why a text is not YAML that we read: a stable code, and where in it. Never its words, which may hold a secret. */
export interface YamlFault {
  readonly code: string;
  /** From 1 on. */
  readonly line?: number;
  readonly column?: number;
}

export type YamlResult =
  | {
      readonly kind: 'value';
      readonly value: unknown;
      /** Where the value at a path is, or what of the path is there; from 1 on. */
      readonly lineOf: (path: readonly PropertyKey[]) => number;
    }
  | { readonly kind: 'fault'; readonly fault: YamlFault };

/**
 * The value of a YAML text. Keys are words: a list or a mapping for a key would be written out again as a text, whose
 * length and time grow without bound with its depth. The parser is loaded for those who have a file; 5 MiB of memory.
 */
export function readYaml(text: string): YamlResult {
  if (text.length > MAX_CHARS) return fault('TOO_LONG');
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const lines = new yaml.LineCounter();
  // What the parser would say of each fault costs more than to find them.
  const options = { logLevel: 'error', prettyErrors: false, lineCounter: lines } as const;
  const document = yaml.parseDocument(text, options);
  const [error] = document.errors;
  if (error !== undefined) {
    const { col, line } = lines.linePos(error.pos[0]);
    return fault(error.code, { line, column: col });
  }
  const shape = shapeFault(yaml, document);
  if (shape !== undefined) return fault(shape);
  try {
    const value = document.toJS() as unknown;
    return { kind: 'value', value, lineOf: (path) => lineOf(document, lines, path) };
  } catch {
    // Aliases that would make much of little.
    return fault('TOO_MANY_ALIASES');
  }
}

function lineOf(document: Yaml.Document, lines: Yaml.LineCounter, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as Partial<Yaml.Node> | undefined;
    const [start] = node?.range ?? [];
    if (start !== undefined) return lines.linePos(start).line;
  }
  return 1;
}

function shapeFault(yaml: typeof Yaml, document: Yaml.Document): string | undefined {
  let found: string | undefined;
  yaml.visit(document, {
    Collection: (key, _node, path) => {
      if (key === 'key') found = 'KEY_IS_NO_WORD';
      else if (path.length > 2 * MAX_LEVELS) found = 'TOO_DEEP';
      return found === undefined ? undefined : yaml.visit.BREAK;
    },
    Alias: (key) => {
      if (key !== 'key') return undefined;
      found = 'KEY_IS_NO_WORD';
      return yaml.visit.BREAK;
    },
  });
  return found;
}

function fault(code: string, at: Omit<YamlFault, 'code'> = {}): YamlResult {
  return { kind: 'fault', fault: { code, ...at } };
}
