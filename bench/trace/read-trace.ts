import { DamselflyError } from '../../lib/core/errors.ts';
import type { TraceHead, TraceLine } from '../../lib/observe/trace.ts';

/** What one process wrote. */
export interface TracedProcess {
  readonly head: TraceHead;
  readonly lines: readonly TraceLine[];
}

/**
 * Takes a trace apart: docs/TRACE.md has the lines. Several of them may stand in one file, one after the other.
 * @param name of the file, for messages
 * @throws CONFIG_INVALID
 */
export function readTrace(text: string, name: string): TracedProcess[] {
  const processes: { head: TraceHead; lines: TraceLine[] }[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const event = parse(line, `${name}:${index + 1}`);
    if (event.kind === 'trace') processes.push({ head: event, lines: [] });
    else if (processes.length > 0) processes.at(-1)?.lines.push(event);
    else throw wrong(`${name}:${index + 1}`, 'a trace begins with its head, {"kind":"trace",…}');
  }
  if (processes.length === 0) throw wrong(name, 'there is no trace in it');
  return processes;
}

function parse(line: string, at: string): TraceHead | TraceLine {
  try {
    const event = JSON.parse(line) as TraceHead | TraceLine;
    if (typeof event.kind === 'string') return event;
  } catch {
    // Told below.
  }
  throw wrong(at, 'this is no event of a trace: one JSON object a line, with a kind');
}

function wrong(at: string, why: string): DamselflyError {
  return new DamselflyError('CONFIG_INVALID', `${at}: ${why}`, { at });
}
