import { type SpanFacts, type Tracer, unrecorded } from '../../lib/observe/spans.ts';

/** A span as it was when it ended. */
export interface RecordedSpan {
  readonly name: string;
  readonly parent: string | undefined;
  readonly traceparent: string;
  readonly facts: SpanFacts;
  readonly failure: string | undefined;
  readonly sinceMs: number | undefined;
  readonly atMs: number | undefined;
}

/** The traceparent of a client that is traced. */
export const TRACED = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

/** Keeps the spans that have ended, in order. */
export function createRecordingTracer(): Tracer & { readonly spans: readonly RecordedSpan[] } {
  const spans: RecordedSpan[] = [];
  let begun = 0;
  return {
    spans,
    begin(name, { begins, facts: first, parent, sinceMs }) {
      if (parent === undefined && begins !== true) return unrecorded(undefined);
      const id = (++begun).toString(16).padStart(16, '0');
      const traceparent = `${(parent ?? TRACED).slice(0, 36)}${id}-01`;
      let facts: SpanFacts = { ...first };
      return {
        ...{ traceparent, recorded: true },
        note(more) {
          facts = { ...facts, ...more };
        },
        end(failure, atMs) {
          spans.push({ name, parent, traceparent, facts, failure, sinceMs, atMs });
        },
      };
    },
    close: async () => {},
  };
}
