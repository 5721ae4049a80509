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

/** Groups tap's TAP output by test file. */
export interface TapReader {
  readonly line: (line: string) => void;
  /** After the last line. */
  end(): void;
}

const POINT = /^( *)(not )?ok \d+(?: - (.*?))?(?: # (.*?))?( \{)?$/;

/** @param onFile called when a file has ended and all that tap has to say about it is known */
export function createTapReader(onFile: (result: FileResult) => void): TapReader {
  const fresh = () => ({ passed: 0, failed: 0, skipped: [] as string[], lines: [] as string[] });
  let current = fresh();
  /** The verdict on a file whose tests are still to come: tap's buffered runs say it first. */
  let open: { file: string; ok: boolean; seconds: number } | undefined;
  /** A file that has ended; only its diagnostics may still come. */
  let ended: (ReturnType<typeof fresh> & { file: string; ok: boolean; seconds: number }) | undefined;
  let inDiagnostics = false;

  const flush = (): void => {
    if (ended === undefined) return;
    const { file, ok, passed, failed, skipped, seconds, lines } = ended;
    ended = undefined;
    // A file can fail as a whole: a crash, a time-out, a wrong plan.
    onFile({
      file,
      passed,
      failed: ok ? failed : Math.max(failed, 1),
      skipped,
      seconds,
      output: lines.join('\n'),
    });
  };
  const finish = (verdict: { file: string; ok: boolean; seconds: number }): void => {
    ended = { ...verdict, ...current };
    current = fresh();
    open = undefined;
  };

  return {
    end: flush,
    line(line) {
      if (ended !== undefined && (inDiagnostics || line === '  ---')) {
        ended.lines.push(line);
        inDiagnostics = line !== '  ...';
        return;
      }
      flush();
      current.lines.push(line);
      const match = POINT.exec(line);
      if (line === '}' && open !== undefined) finish(open);
      if (match === null) return;
      const [, indent = '', not, name = '', directive = '', brace] = match;
      const ok = not === undefined;
      if (indent.length === 0) {
        open = { file: name, ok, seconds: toSeconds(directive) };
        if (brace === undefined) finish(open);
      } else if (indent.length === 4) {
        const reason = /^(?:SKIP|TODO)\s*(.*)$/i.exec(directive)?.[1];
        if (reason !== undefined) current.skipped.push(`${name}: ${reason}`);
        else if (ok) current.passed++;
        else current.failed++;
      }
    },
  };
}

function toSeconds(directive: string): number {
  const match = /time=([\d.]+)(ms|s|m)/.exec(directive);
  const factor = { ms: 0.001, s: 1, m: 60 }[match?.[2] ?? ''] ?? 0;
  return Number(match?.[1] ?? 0) * factor;
}
