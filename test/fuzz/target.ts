import type { ErrorCode } from '../../lib/core/errors.ts';

/** A parser that faces a socket or a file, and what it is fed. Its name is that of its file in targets/. */
export interface FuzzTarget {
  /** What it reads, and from whom. */
  readonly about: string;
  /** Functions whose lines the inputs must reach, by the file that they are in; `*` = all of the file. */
  readonly parsers: Readonly<Record<string, readonly string[]>>;
  /** How inputs are changed: `json` as trees, `text` by words and lines, `bytes` by bytes; all of them by bytes too. */
  readonly form: 'json' | 'text' | 'bytes';
  /** Inputs that it takes, and some that reach its corners. */
  readonly corpus: readonly (string | Uint8Array)[];
  /** Inputs that are read as they are, and nothing is made of them: those beyond the limits. */
  readonly beyond?: readonly (string | Uint8Array)[];
  /** What is put into a text to get further into the parser: separators, keywords, numbers at its limits. */
  readonly words?: readonly string[];
  /** The longest input. @default 64 KiB */
  readonly maxBytes?: number;
  /** Reads one input, and throws Error when what comes of it breaks a promise of the parser. */
  readonly parse: (input: Buffer) => unknown;
  /** Codes that it may refuse an input with. @default none: it never throws */
  readonly refuses?: readonly ErrorCode[];
}

const MAX_INPUT_BYTES = 64 * 1024;

export function maxBytesOf({ maxBytes }: FuzzTarget): number {
  return maxBytes ?? MAX_INPUT_BYTES;
}

/** Fails the input: what came of it is not what the parser promises. */
export function promise(holds: boolean, what: string): void {
  if (!holds) throw new Error(`broken promise: ${what}`);
}
