const CONTEXT_LINES = 3;

interface Line {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

/** The change from `before` to `after` as `diff -u` shows it; undefined stands for a file that is not there. */
export function unifiedDiff(path: string, before: string | undefined, after: string | undefined): string {
  if (before === after) return '';
  const lines = compare(linesOf(before ?? ''), linesOf(after ?? ''));
  const head = [
    `--- ${before === undefined ? '/dev/null' : path}`,
    `+++ ${after === undefined ? '/dev/null' : path}`,
  ];
  return [...head, ...hunks(lines), ''].join('\n');
}

/** Each with its line break, but for a last one that has none. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function compare(before: readonly string[], after: readonly string[]): Line[] {
  let head = 0;
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < Math.min(before.length, after.length) - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail++;
  }
  const same = (texts: readonly string[]): Line[] => texts.map((text) => ({ sign: ' ', text }));
  return [
    ...same(before.slice(0, head)),
    ...compareMiddle(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...same(before.slice(before.length - tail)),
  ];
}

/** By the longest common subsequence. */
function compareMiddle(before: readonly string[], after: readonly string[]): Line[] {
  const width = after.length + 1;
  const common = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i * width + j] =
        before[i] === after[j]
          ? (common[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0);
    }
  }
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    const [old, fresh] = [before[i], after[j]];
    if (old !== undefined && old === fresh) {
      lines.push({ sign: ' ', text: old });
      i++;
      j++;
    } else if (
      old !== undefined &&
      (fresh === undefined || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      lines.push({ sign: '-', text: old });
      i++;
    } else {
      lines.push({ sign: '+', text: fresh ?? '' });
      j++;
    }
  }
  return lines;
}

function hunks(lines: readonly Line[]): string[] {
  const shown: string[] = [];
  let [oldLine, newLine] = [1, 1];
  let at = 0;
  while (at < lines.length) {
    const next = lines.findIndex(({ sign }, index) => index >= at && sign !== ' ');
    if (next === -1) return shown;
    const from = Math.max(at, next - CONTEXT_LINES);
    oldLine += from - at;
    newLine += from - at;
    let to = next;
    for (let index = next; index < lines.length && index <= to + 2 * CONTEXT_LINES; index++) {
      if (lines[index]?.sign !== ' ') to = index;
    }
    const end = Math.min(lines.length, to + 1 + CONTEXT_LINES);
    const hunk = lines.slice(from, end);
    const [oldCount, newCount] = [
      hunk.filter(({ sign }) => sign !== '+').length,
      hunk.filter(({ sign }) => sign !== '-').length,
    ];
    shown.push(`@@ -${position(oldLine, oldCount)} +${position(newLine, newCount)} @@`);
    for (const { sign, text } of hunk) {
      shown.push(sign + (text.endsWith('\n') ? text.slice(0, -1) : `${text}\n\\ No newline at end of file`));
    }
    oldLine += oldCount;
    newLine += newCount;
    at = end;
  }
  return shown;
}

/** An empty side is told by the line before it. */
const position = (line: number, count: number): string => `${count === 0 ? line - 1 : line},${count}`;
