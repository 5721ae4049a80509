/** One change of a text: what stood in `[start, end)` becomes `text`. Nothing else is touched. */
export interface TextEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Carries out edits that do not overlap; those at one place in their order. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  let result = '';
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}

/** How the lines of a text end. */
export function eolOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n';
}

/** Puts `lines` as lines of their own before the line that `at` is in. */
export function linesBefore(text: string, at: number, lines: readonly string[]): TextEdit {
  const start = text.lastIndexOf('\n', at - 1) + 1;
  const eol = eolOf(text);
  return { start, end: start, text: lines.map((line) => line + eol).join('') };
}

/** Puts `lines` as lines of their own after the line that `at` is in. */
export function linesAfter(text: string, at: number, lines: readonly string[]): TextEdit {
  const eol = eolOf(text);
  const newline = text.indexOf('\n', at);
  if (newline !== -1) {
    return { start: newline + 1, end: newline + 1, text: lines.map((line) => line + eol).join('') };
  }
  return { start: text.length, end: text.length, text: lines.map((line) => eol + line).join('') };
}

/** Puts `lines` at the end, an empty line before them. */
export function linesAtEnd(text: string, lines: readonly string[]): TextEdit {
  const eol = eolOf(text);
  const open = text === '' || text.endsWith('\n') ? '' : eol;
  const gap = text.trim() === '' ? '' : eol;
  const added = open + gap + lines.map((line) => line + eol).join('');
  return { start: text.length, end: text.length, text: added };
}
