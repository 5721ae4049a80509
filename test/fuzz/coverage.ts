import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { pathToFileURL } from 'node:url';

/** How much of some functions was run. */
export interface LineCoverage {
  readonly lines: number;
  readonly reached: number;
  /** `file:line` of those that were not. */
  readonly missed: readonly string[];
}

/** Counts which lines this thread runs, by V8's own block counters. Makes code slower: for a part of a run. */
export class Coverage {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /**
   * Ends the counting.
   * @param parsers functions by file, `*` for all of a file
   * @throws Error when a file or a function is not there, or was not even loaded
   */
  async end(root: string, parsers: Readonly<Record<string, readonly string[]>>): Promise<LineCoverage> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    await this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
    const parts = Object.entries(parsers).map(([file, names]) => {
      const url = pathToFileURL(`${root}/${file}`).href;
      const script = result.find((each) => each.url === url);
      if (script === undefined) throw new Error(`${file} was not loaded`);
      return fileCoverage(file, readFileSync(`${root}/${file}`, 'utf8'), script.functions, names);
    });
    return {
      lines: parts.reduce((sum, { lines }) => sum + lines, 0),
      reached: parts.reduce((sum, { reached }) => sum + reached, 0),
      missed: parts.flatMap(({ missed }) => missed),
    };
  }
}

interface Counted {
  readonly functionName: string;
  readonly ranges: readonly {
    readonly startOffset: number;
    readonly endOffset: number;
    readonly count: number;
  }[];
}

function fileCoverage(
  file: string,
  text: string,
  functions: readonly Counted[],
  names: readonly string[],
): LineCoverage {
  const counts = new Float64Array(text.length);
  const chosen = new Uint8Array(text.length);
  // Outer functions and blocks come before those inside them.
  for (const { ranges } of functions) {
    for (const { count, endOffset, startOffset } of ranges) counts.fill(count, startOffset, endOffset);
  }
  for (const name of names) {
    const found = functions.filter(({ functionName }) => name === '*' || functionName === name);
    if (found.length === 0) throw new Error(`${file} has no function ${name}`);
    for (const { ranges } of found) chosen.fill(1, ranges[0]?.startOffset, ranges[0]?.endOffset);
  }
  let lines = 0;
  const missed: string[] = [];
  let start = 0;
  for (const [index, line] of text.split('\n').entries()) {
    const from = start + line.length - line.trimStart().length;
    const to = start + line.trimEnd().length;
    start += line.length + 1;
    if (!isCode(line) || chosen[from] !== 1) continue;
    lines++;
    if (counts.subarray(from, to).every((count) => count === 0)) missed.push(`${file}:${index + 1}`);
  }
  return { lines, reached: lines - missed.length, missed };
}

/** Not blank, no comment, and more than the end of a block. */
function isCode(line: string): boolean {
  return /[A-Za-z0-9]/.test(line) && !/^\s*(?:\/\/|\/\*|\*)/.test(line);
}
