/** Facts of a span. Never a secret: they leave the machine. */
export type SpanFacts = Readonly<Record<string, string | number | boolean>>;

export interface SpanBegin {
  readonly kind: 'server' | 'client' | 'internal';
  /** W3C traceparent of what this is a part of. */
  readonly parent: string | undefined;
  /** Without a parent it is the beginning of a trace. @default without a parent it is not traced */
  readonly begins?: boolean;
  /** When it began, on the clock of the process (`performance.now()`). @default now */
  readonly sinceMs?: number;
  readonly facts?: SpanFacts;
}

/** A piece of work in a trace of OpenTelemetry: docs/OPENTELEMETRY.md says which there are. */
export interface Span {
  /** What parts of this work name as their parent; undefined: they are part of no trace. */
  readonly traceparent: string | undefined;
  /** Whether anybody will see it: false where it was not sampled. */
  readonly recorded: boolean;
  note(facts: SpanFacts): void;
  /**
   * It is over.
   * @param failure short and of few kinds, such as an error's code
   * @param atMs when it ended, on the clock of the process; default: now
   */
  end(failure?: string, atMs?: number): void;
}

/** Takes the spans of one process. Nothing here throws. */
export interface Tracer {
  begin(name: string, begin: SpanBegin): Span;
  /** Sends what is left, for 2 s at most. */
  close(): Promise<void>;
}

/** Records nothing; whoever asks is still told which trace it is in. */
export const NO_TRACER: Tracer = {
  begin: (_name, { parent }) => unrecorded(parent),
  close: async () => {},
};

export function unrecorded(traceparent: string | undefined): Span {
  return { traceparent, recorded: false, note() {}, end() {} };
}
