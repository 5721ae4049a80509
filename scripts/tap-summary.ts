/** What came of one test file. */
export interface FileResult {
  readonly file: string;
  /** Tests, that is: the named `t.test` blocks of the file. */
  readonly passed: number;
  /** At least 1 when the file failed in any way. */
  readonly failed: number;
  /** `name: reason` of each test that was skipped. */
  readonly skipped: readonly string[];
  readonly seconds: number;
  /** The file's own TAP, indented as it came. */
  readonly output: string;
}

/** Groups tap's TAP output by test file. Feed it lines; it calls `onFile` whenever a file has ended. */
export function createTapReader(onFile: (result: FileResult) => void): (line: string) => void {
  const POINT = /^( *)(not )?ok \d+(?: - (.*?))?(?: # (.*?))?( \{)?$/;
  let lines: string[] = [];
  let passed = 0;
  let failed = 0;
  let skipped: string[] = [];
  /** The verdict on a file whose tests are still to come: tap's parallel runs say it first. */
  let open: { file: string; ok: boolean; seconds: number } | undefined;

  const end = (file: string, ok: boolean, seconds: number): void => {
    // A file can fail as a whole: a crash, a time-out, a wrong plan.
    onFile({
      file,
      passed,
      failed: ok ? failed : Math.max(failed, 1),
      skipped,
      seconds,
      output: lines.join('\n'),
    });
    lines = [];
    passed = 0;
    failed = 0;
    skipped = [];
    open = undefined;
  };

  return (line) => {
    const [, indent = '', not, name = '', directive = '', brace] = POINT.exec(line) ?? [];
    const isPoint = POINT.test(line);
    if (indent.length > 0 || !isPoint) lines.push(line);
    if (line === '}' && open !== undefined) return end(open.file, open.ok, open.seconds);
    if (!isPoint) return;
    const ok = not === undefined;
    if (indent.length === 0) {
      const seconds = toSeconds(directive);
      if (brace === undefined) return end(name, ok, seconds);
      open = { file: name, ok, seconds };
    } else if (indent.length === 4) {
      const reason = /^(?:SKIP|TODO)\s*(.*)$/i.exec(directive)?.[1];
      if (reason !== undefined) skipped.push(`${name}: ${reason}`);
      else if (ok) passed++;
      else failed++;
    }
  };
}

function toSeconds(directive: string): number {
  const match = /time=([\d.]+)(ms|s|m)/.exec(directive);
  const factor = { ms: 0.001, s: 1, m: 60 }[match?.[2] ?? ''] ?? 0;
  return Number(match?.[1] ?? 0) * factor;
}
