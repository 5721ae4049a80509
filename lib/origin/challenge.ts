/** One challenge of a WWW-Authenticate header (RFC 9110 section 11.6.1). */
export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
const PARAMETER = new RegExp(`\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))\\s*(?:,|$)`, 'y');
const SCHEME = new RegExp(`[\\s,]*(${TOKEN})(?=[\\s,]|$)\\s*`, 'y');
/** Longer headers are nobody's challenge; bounds the work on hostile ones. */
const MAX_HEADER_LENGTH = 8192;

/** Every challenge of the header, in order; what cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const lines = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  return lines.flatMap((line) => parseLine(line.slice(0, MAX_HEADER_LENGTH)));
}

function parseLine(line: string): Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  for (;;) {
    const scheme = matchAt(SCHEME, line, at);
    if (scheme === undefined) return challenges;
    at = scheme.end;
    const parameters: Record<string, string> = {};
    for (
      let found = matchAt(PARAMETER, line, at);
      found !== undefined;
      found = matchAt(PARAMETER, line, at)
    ) {
      const [, name = '', quoted, bare] = found.groups;
      parameters[name.toLowerCase()] = quoted === undefined ? (bare ?? '') : quoted.replace(/\\(.)/g, '$1');
      at = found.end;
    }
    challenges.push({ scheme: (scheme.groups[1] ?? '').toLowerCase(), parameters });
  }
}

function matchAt(
  pattern: RegExp,
  text: string,
  at: number,
): { groups: RegExpExecArray; end: number } | undefined {
  pattern.lastIndex = at;
  const groups = pattern.exec(text);
  return groups === null ? undefined : { groups, end: pattern.lastIndex };
}
